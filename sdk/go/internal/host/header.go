package host

import "encoding/json"

// Header is a name and a value of bytes, written as a list of two.
type Header struct {
	Name  string
	Value []byte
}

// MarshalJSON writes it.
func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Name, h.Value}) }

// UnmarshalJSON reads it.
func (h *Header) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&h.Name, &h.Value})
}
