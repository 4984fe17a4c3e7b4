package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Statement is `sql.query`, `sql.execute` and `sql.stage`.
type Statement struct {
	Database   string     `json:"database"`
	Statement  string     `json:"statement"`
	Parameters []SQLValue `json:"parameters"`
}

// SQLColumn is a column of a result.
type SQLColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// SQLRows is the answer of `sql.query`; that of `sql.execute` has only Affected.
type SQLRows struct {
	Columns  []SQLColumn  `json:"columns"`
	Rows     [][]SQLValue `json:"rows"`
	Affected uint64       `json:"affected"`
}

// SQLValue is nil, a bool, an int64, a float64, a string or bytes.
type SQLValue struct{ Of any }

// MarshalJSON writes it so that its form is kept.
func (v SQLValue) MarshalJSON() ([]byte, error) {
	switch of := v.Of.(type) {
	case []byte:
		return json.Marshal(map[string][]byte{"bytes": of})
	case float64:
		if math.IsNaN(of) || math.IsInf(of, 0) {
			return json.Marshal(map[string]string{"float": special(of)})
		}
		return json.Marshal(map[string]float64{"float": of})
	default:
		return json.Marshal(of)
	}
}

// As PostgreSQL and JSON's readers of Rust call them.
func special(number float64) string {
	switch {
	case math.IsNaN(number):
		return "NaN"
	case number > 0:
		return "Infinity"
	default:
		return "-Infinity"
	}
}

// UnmarshalJSON reads it.
func (v *SQLValue) UnmarshalJSON(data []byte) error {
	var of any
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.UseNumber()
	if err := reader.Decode(&of); err != nil {
		return err
	}
	var err error
	switch of := of.(type) {
	case json.Number:
		v.Of, err = number(of.String())
	case map[string]any:
		v.Of, err = wrapped(data, of)
	default:
		v.Of = of
	}
	return err
}

func number(text string) (any, error) {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whole, nil
	}
	return strconv.ParseFloat(text, 64)
}

func wrapped(data []byte, of map[string]any) (any, error) {
	if _, found := of["bytes"]; found {
		var bytes struct{ Bytes []byte }
		err := json.Unmarshal(data, &bytes)
		if bytes.Bytes == nil {
			bytes.Bytes = []byte{}
		}
		return bytes.Bytes, err
	}
	if whole, found := of["integer"]; found {
		return strconv.ParseInt(fmt.Sprint(whole), 10, 64)
	}
	return strconv.ParseFloat(fmt.Sprint(of["float"]), 64)
}

// Failed is the error of a call. One of a database has its parts in JSON.
func Failed(code string, text []byte) error {
	if code == "database" {
		var said struct {
			Code, Message      string
			Detail, Constraint *string
		}
		if err := json.Unmarshal(text, &said); err == nil && said.Code != "" {
			return &Error{Code: said.Code, Text: said.Message, Constraint: or(said.Constraint), Detail: or(said.Detail)}
		}
	}
	return &Error{Code: code, Text: string(text)}
}

func or(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
