// Package effects is what a handler may do beside its answer, where its pipeline grants it: [HTTP], [Config], [State],
// [Outbox] and [SQL]. What is written and sent commits with the message at hand; on anything but a nil error it never was.
//
//	answer, err := effects.HTTP.Post("https://api.example/charges", "application/json", body)
//	total, err := effects.State.Increment("charges", 1)
//	id, err := effects.Outbox.Send("receipts", effects.Outgoing{Body: receipt})
//	rows, err := effects.SQL("shop").Query("select stock from items where id = $1", 7)
//
// Package fake stands in for them in tests.
package effects

import "pelton/sdk/go/internal/host"

// Error is why an effect did not happen. Returned by a handler it is a retry. Its Code is one of `not-granted`,
// `unknown-target`, `unknown-database`, `refused`, `limit`, `too-large`, `unavailable`, `value`, `status` (of
// [Response.OK]), of SQL the database's own, as `23505`, and of HTTP the names that wasi:http has: `connection-timeout`,
// `connection-refused`, `HTTP-request-denied`, `destination-IP-prohibited`, `HTTP-response-body-size` and so on.
//
//	var failed *effects.Error
//	if errors.As(err, &failed) && failed.Code == "connection-timeout" { ... }
type Error = host.Error

// Config has configuration and secrets: what the pipeline grants by name.
var Config config

type config struct{}

// Get is the value of a name, and whether the pipeline grants one.
func (config) Get(name string) (value string, found bool, err error) {
	var answer host.ConfigValue
	if err := host.Do("config.get", host.ConfigGet{Name: name}, &answer); err != nil || answer.Value == nil {
		return "", false, err
	}
	return *answer.Value, true, nil
}

// Require is the value of a name, or an error where there is none.
func (c config) Require(name string) (string, error) {
	value, found, err := c.Get(name)
	if err == nil && !found {
		err = &Error{Code: "not-granted", Text: "there is no configuration `" + name + "`: add it to the pipeline's grants.config"}
	}
	return value, err
}

// All has all names and values that the pipeline grants.
func (config) All() (map[string]string, error) {
	var answer host.ConfigAll
	err := host.Do("config.all", struct{}{}, &answer)
	return answer.Values, err
}
