package fake

import (
	"fmt"
	"slices"
	"strings"

	"pelton/sdk/go/internal/host"
)

// Statement is one that was run.
type Statement struct {
	Database, Text string
	Parameters     []any
	// Staged is true for one whose result nobody waited for.
	Staged bool
}

// Reply is what a statement is answered with.
type Reply struct {
	// Columns are the names of what is in Rows.
	Columns []string
	// Rows have nil, bools, int64s, float64s, strings and bytes.
	Rows [][]any
	// Affected is the number of Rows where it is not said.
	Affected uint64
	// Fails has the statement fail with this code of the database's instead, as "23514", or with one of Pelton's, as "refused".
	Fails string
	// Constraint is the one that does not hold then.
	Constraint string
}

// stands are the codes after which the transaction stands.
var stands = []string{"refused", "too-large", "unknown-database"}

type reply struct {
	part  string
	reply Reply
}

// SQL answers one statement that has this text in it, whatever the spaces; several for the same are used in their order.
// After one that fails in the database the transaction is over.
func (w *World) SQL(statement string, answer Reply) {
	w.replies = append(w.replies, reply{words(statement), answer})
}

func words(statement string) string { return strings.Join(strings.Fields(statement), " ") }

func (w *World) run(name string, asked host.Statement) (any, error) {
	noted := Statement{Database: asked.Database, Text: asked.Statement, Staged: name == "sql.stage"}
	for _, parameter := range asked.Parameters {
		noted.Parameters = append(noted.Parameters, parameter.Of)
	}
	w.Statements = append(w.Statements, noted)
	if noted.Staged {
		return struct{}{}, nil
	}
	if w.isOver {
		return nil, &host.Error{Code: "25P02", Text: "a statement has failed before: the transaction is over"}
	}
	text := words(asked.Statement)
	at := slices.IndexFunc(w.replies, func(one reply) bool { return strings.Contains(text, one.part) })
	if at < 0 {
		return nil, &host.Error{Code: "refused", Text: fmt.Sprintf("the test has no answer for `%s`", text)}
	}
	answer := w.replies[at].reply
	w.replies = slices.Delete(w.replies, at, at+1)
	if answer.Fails != "" {
		w.isOver = !slices.Contains(stands, answer.Fails)
		return nil, &host.Error{Code: answer.Fails, Text: text, Constraint: answer.Constraint}
	}
	return answer.rows(), nil
}

func (r Reply) rows() host.SQLRows {
	rows := host.SQLRows{Columns: []host.SQLColumn{}, Rows: [][]host.SQLValue{}, Affected: r.Affected}
	for _, name := range r.Columns {
		rows.Columns = append(rows.Columns, host.SQLColumn{Name: name, Type: "test"})
	}
	for _, row := range r.Rows {
		var values []host.SQLValue
		for _, value := range row {
			if number, is := value.(int); is {
				value = int64(number)
			}
			values = append(values, host.SQLValue{Of: value})
		}
		rows.Rows = append(rows.Rows, values)
	}
	if rows.Affected == 0 {
		rows.Affected = uint64(len(r.Rows))
	}
	return rows
}
