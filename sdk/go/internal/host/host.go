// Package host is the way from effects to whoever does them: Pelton, by the worker protocol, or a test's fake.
package host

import "fmt"

// Error is why an effect did not happen. See package effects.
type Error struct {
	// Code is for programs.
	Code string
	// Text is for people.
	Text string
	// Constraint is the one that does not hold, of a statement that failed for one.
	Constraint string
	// Detail is what the database says besides.
	Detail string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Text, e.Code) }

// Caller does what a call asks for: in is written as JSON, and the answer is read into out.
type Caller func(name string, in, out any) error

// Call is the caller of now; nil where there is none.
var Call Caller

// Do calls whoever there is.
func Do(name string, in, out any) error {
	if Call == nil {
		return &Error{Code: "unavailable", Text: "there is no Pelton here: in a test, begin with `world := fake.New(t)` of pelton/sdk/go/fake"}
	}
	return Call(name, in, out)
}

// The calls and their answers, as they are written.
type (
	// HTTPSend is `http.send`.
	HTTPSend struct {
		Method    string      `json:"method"`
		URL       string      `json:"url"`
		Headers   [][2]string `json:"headers"`
		Body      []byte      `json:"body"`
		TimeoutMS *int64      `json:"timeout_ms"`
		Message   *string     `json:"message"`
	}
	// HTTPAnswer is its answer.
	HTTPAnswer struct {
		Status  int         `json:"status"`
		Headers [][2]string `json:"headers"`
		Body    []byte      `json:"body"`
	}
	// ConfigGet is `config.get`.
	ConfigGet struct {
		Name string `json:"name"`
	}
	// ConfigValue is its answer.
	ConfigValue struct {
		Value *string `json:"value"`
	}
	// ConfigAll is the answer of `config.all`.
	ConfigAll struct {
		Values map[string]string `json:"values"`
	}
	// StateKey is `state.get` and `state.delete`.
	StateKey struct {
		Store string `json:"store"`
		Key   string `json:"key"`
	}
	// StateSet is `state.set`.
	StateSet struct {
		Store string `json:"store"`
		Key   string `json:"key"`
		Value []byte `json:"value"`
	}
	// StateIncrement is `state.increment`.
	StateIncrement struct {
		Store string `json:"store"`
		Key   string `json:"key"`
		By    int64  `json:"by"`
	}
	// StateList is `state.list`.
	StateList struct {
		Store string  `json:"store"`
		After *string `json:"after"`
		Max   int     `json:"max"`
	}
	// StateValue is the answer of `state.get`.
	StateValue struct {
		Value *[]byte `json:"value"`
	}
	// StateTotal is the answer of `state.increment`.
	StateTotal struct {
		Value int64 `json:"value"`
	}
	// StateKeys is the answer of `state.list`.
	StateKeys struct {
		Keys []string `json:"keys"`
		More bool     `json:"more"`
	}
	// OutboxSend is `outbox.send`.
	OutboxSend struct {
		Target  string   `json:"target"`
		Key     []byte   `json:"key"`
		Headers []Header `json:"headers"`
		Body    []byte   `json:"body"`
		DelayMS *int64   `json:"delay_ms"`
		Topic   *string  `json:"topic"`
	}
	// OutboxID is its answer.
	OutboxID struct {
		ID string `json:"id"`
	}
)
