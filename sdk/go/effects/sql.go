package effects

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"pelton/sdk/go/internal/host"
)

// Database is a database of the pipeline's: statements run in the transaction that completes the message. It begins with
// the first of them and is Pelton's: it commits when the handler returns nil, together with the record that says that the
// message was processed. When it returns an error, nothing of it was ever done. When a statement fails, [Error] says why,
// with the constraint that does not hold, and the transaction is over: nil would be a retry.
type Database struct{ name string }

// SQL is the database of this name. Whether the pipeline grants it shows at the first use.
func SQL(name string) Database { return Database{name} }

// Column is a column of a result, with its type as the database calls it.
type Column struct{ Name, Type string }

// Rows are what a query gives.
type Rows struct {
	Columns []Column
	// Rows are in their order.
	Rows []Row
	// Affected is how many rows the statement changed, or gave.
	Affected uint64
}

// Row is one row.
type Row struct {
	columns []Column
	values  []host.SQLValue
}

// Query runs a statement and gives its rows. `$1` and those that follow stand for the parameters: nil, bools, numbers,
// strings, bytes and times. A string binds to any type, in the database's own form: "12.50" to a numeric, "{a,b}" to an
// array.
func (d Database) Query(statement string, parameters ...any) (*Rows, error) {
	var answer host.SQLRows
	if err := d.do("sql.query", statement, parameters, &answer); err != nil {
		return nil, err
	}
	rows := &Rows{Columns: make([]Column, len(answer.Columns)), Affected: answer.Affected}
	for i, column := range answer.Columns {
		rows.Columns[i] = Column(column)
	}
	for _, values := range answer.Rows {
		rows.Rows = append(rows.Rows, Row{rows.Columns, values})
	}
	return rows, nil
}

// Execute runs a statement and gives how many rows it changed.
func (d Database) Execute(statement string, parameters ...any) (affected uint64, err error) {
	var answer host.SQLRows
	err = d.do("sql.execute", statement, parameters, &answer)
	return answer.Affected, err
}

// Stage sends a statement and does not wait for what it gives: if it fails, the message fails with it when it is to be
// committed. For statements whose result does not matter.
func (d Database) Stage(statement string, parameters ...any) error {
	return d.do("sql.stage", statement, parameters, &struct{}{})
}

func (d Database) do(name, statement string, parameters []any, answer any) error {
	asked := host.Statement{Database: d.name, Statement: statement, Parameters: make([]host.SQLValue, len(parameters))}
	for i, parameter := range parameters {
		value, err := value(parameter)
		if err != nil {
			return fmt.Errorf("$%d is %w", i+1, err)
		}
		asked.Parameters[i] = host.SQLValue{Of: value}
	}
	return host.Do(name, asked, answer)
}

// value is what stands for a parameter.
func value(given any) (any, error) {
	switch given := given.(type) {
	case nil, bool, int64, float64, string:
		return given, nil
	case []byte:
		if given == nil {
			return nil, nil
		}
		return given, nil
	case float32:
		return float64(given), nil
	case time.Time:
		return given.Format(time.RFC3339Nano), nil
	case int, int8, int16, int32, uint8, uint16, uint32:
		return strconv.ParseInt(fmt.Sprint(given), 10, 64)
	case uint, uint64:
		// What 64 bits with a sign do not hold is its digits, which bind to a numeric.
		text := fmt.Sprint(given)
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return whole, nil
		}
		return text, nil
	default:
		return nil, fmt.Errorf("a %T: give it as a string in the database's own form, such as {1,2} or JSON", given)
	}
}

// One is the only row, or an error where there is none, or more.
func (r *Rows) One() (Row, error) {
	if len(r.Rows) != 1 {
		return Row{}, &Error{Code: "value", Text: fmt.Sprintf("one row was expected, there are %d", len(r.Rows))}
	}
	return r.Rows[0], nil
}

// Get is the value of a column: nil, a bool, an int64, a float64, a string or bytes. What is of no other type is a string
// in the database's own form: a numeric is "12.50", so that no digit is lost.
func (r Row) Get(column string) (any, error) {
	var names []string
	for i, one := range r.columns {
		if one.Name == column {
			return r.values[i].Of, nil
		}
		names = append(names, one.Name)
	}
	text := fmt.Sprintf("there is no column `%s`: they are %s", column, strings.Join(names, ", "))
	return nil, &Error{Code: "value", Text: text}
}

// Read reads the value of a column into *bool, *int, *int64, *float64, *string, *[]byte, *any, or a pointer to one of
// them, which is nil for a null.
func (r Row) Read(column string, into any) error {
	value, err := r.Get(column)
	if err != nil {
		return err
	}
	if !read(value, into) {
		return &Error{Code: "value", Text: fmt.Sprintf("the column `%s` is %v, which does not fit %T", column, shown(value), into)}
	}
	return nil
}

// Scan reads the values of all columns, in their order, each as [Row.Read] does.
func (r Row) Scan(into ...any) error {
	if len(into) != len(r.columns) {
		return &Error{Code: "value", Text: fmt.Sprintf("there are %d columns, and places for %d", len(r.columns), len(into))}
	}
	for i := range into {
		if !read(r.values[i].Of, into[i]) {
			text := fmt.Sprintf("the column `%s` is %v, which does not fit %T", r.columns[i].Name, shown(r.values[i].Of), into[i])
			return &Error{Code: "value", Text: text}
		}
	}
	return nil
}

func shown(value any) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprintf("a %T", value)
}

func read(value, into any) bool {
	switch into := into.(type) {
	case *any:
		*into = value
		return true
	case *bool:
		return put(value, into)
	case *int64:
		return whole(value, into)
	case *int:
		var number int64
		is := whole(value, &number)
		*into = int(number)
		return is && int64(*into) == number
	case *float64:
		return number(value, into)
	case *string:
		return put(value, into)
	case *[]byte:
		return value == nil || put(value, into)
	default:
		return optional(value, into)
	}
}

func optional(value, into any) bool {
	switch into := into.(type) {
	case **bool:
		return nullable(value, into)
	case **int64:
		return nullable(value, into)
	case **int:
		return nullable(value, into)
	case **float64:
		return nullable(value, into)
	case **string:
		return nullable(value, into)
	default:
		return false
	}
}

func nullable[T any](value any, into **T) bool {
	*into = nil
	if value == nil {
		return true
	}
	*into = new(T)
	return read(value, *into)
}

func put[T any](value any, into *T) bool {
	is, fits := value.(T)
	if fits {
		*into = is
	}
	return fits
}

// whole reads a numeric without a fraction, too: sums of whole numbers are one.
func whole(value any, into *int64) bool {
	if text, is := value.(string); is {
		number, err := strconv.ParseInt(text, 10, 64)
		*into = number
		return err == nil
	}
	return put(value, into)
}

func number(value any, into *float64) bool {
	switch value := value.(type) {
	case int64:
		*into = float64(value)
		return math.Abs(*into) <= 1<<53
	case string:
		number, err := strconv.ParseFloat(value, 64)
		*into = number
		return err == nil
	default:
		return put(value, into)
	}
}
