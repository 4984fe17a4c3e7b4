package effects

import (
	"bytes"
	"encoding/json"
	"fmt"

	"pelton/sdk/go/internal/host"
)

// State is the store called "default". Messages that run side by side and touch the same keys have the effect of some
// order, one after the other: read, decide and write as if alone. Only lists of keys are not held to that.
var State = Store{name: "default"}

// Store is a store of key-value state.
type Store struct{ name string }

// StoreOf is the store of this name. Whether the pipeline grants it shows at the first use.
func StoreOf(name string) Store { return Store{name} }

// Keys that are asked for at a time.
const page = 1000

// Get is the value of a key; nil where there is none. It sees what this message has written.
func (s Store) Get(key string) ([]byte, error) {
	var answer host.StateValue
	if err := host.Do("state.get", host.StateKey{Store: s.name, Key: key}, &answer); err != nil || answer.Value == nil {
		return nil, err
	}
	if *answer.Value == nil {
		return []byte{}, nil
	}
	return *answer.Value, nil
}

// GetJSON reads the value of a key into a value, and says whether there is one.
func (s Store) GetJSON(key string, into any) (bool, error) {
	value, err := s.Get(key)
	if err != nil || value == nil {
		return false, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return false, &Error{Code: "value", Text: fmt.Sprintf("the JSON at the key `%s` does not fit: %v", key, err)}
	}
	return true, nil
}

// Set gives a key a value.
func (s Store) Set(key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return host.Do("state.set", host.StateSet{Store: s.name, Key: key, Value: value}, &struct{}{})
}

// SetJSON gives a key a value, as JSON.
func (s Store) SetJSON(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.Set(key, text)
}

// Delete removes a key. It need not be there.
func (s Store) Delete(key string) error {
	return host.Do("state.delete", host.StateKey{Store: s.name, Key: key}, &struct{}{})
}

// Increment adds to a number, 0 where there is none: what it is then. The value is its decimal text.
func (s Store) Increment(key string, by int64) (int64, error) {
	var answer host.StateTotal
	err := host.Do("state.increment", host.StateIncrement{Store: s.name, Key: key, By: by}, &answer)
	return answer.Value, err
}

// CompareAndSet gives a key a value if it has the one that is expected, nil being none, and says whether it had.
func (s Store) CompareAndSet(key string, expected, value []byte) (bool, error) {
	// Nobody writes between the two: the commit finds out, and the message runs again.
	is, err := s.Get(key)
	if err != nil || (is == nil) != (expected == nil) || !bytes.Equal(is, expected) {
		return false, err
	}
	return true, s.Set(key, value)
}

// List has all keys, in no order that is promised.
func (s Store) List() ([]string, error) {
	var keys []string
	var after *string
	for {
		var answer host.StateKeys
		if err := host.Do("state.list", host.StateList{Store: s.name, After: after, Max: page}, &answer); err != nil {
			return nil, err
		}
		keys = append(keys, answer.Keys...)
		if !answer.More || len(answer.Keys) == 0 {
			return keys, nil
		}
		after = &keys[len(keys)-1]
	}
}
