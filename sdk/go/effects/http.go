package effects

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/internal/host"
)

// HTTP sends requests, to what the pipeline grants.
var HTTP client

type client struct{}

// Request is what is sent. Only the URL is needed.
type Request struct {
	// Method is GET when it is empty, or POST where there is a body.
	Method string
	URL    string
	// Headers are names and values.
	Headers [][2]string
	// Body is not sent when it is nil.
	Body []byte
	// Timeout bounds connecting, and each wait for the answer. Zero leaves it to the pipeline.
	Timeout time.Duration
	// Message is the one that it is sent for, in a batch handler: without it a request of a batch has no idempotency key.
	Message *pelton.Message
}

// Response is an answer, whatever its status.
type Response struct {
	Status int
	// Headers are in the server's order.
	Headers [][2]string
	Body    []byte
	of      string
}

// Get sends a GET.
func (c client) Get(url string) (*Response, error) { return c.Send(Request{URL: url}) }

// Post sends a POST with a body of this content type.
func (c client) Post(url, contentType string, body []byte) (*Response, error) {
	if body == nil {
		body = []byte{}
	}
	return c.Send(Request{Method: "POST", URL: url, Headers: [][2]string{{"content-type", contentType}}, Body: body})
}

// Send sends a request and reads the whole answer. A status like 404 or 500 is an answer, too: see [Response.OK].
func (client) Send(request Request) (*Response, error) {
	method := request.Method
	switch {
	case method == "" && request.Body != nil:
		method = "POST"
	case method == "":
		method = "GET"
	}
	send := host.HTTPSend{Method: method, URL: request.URL, Headers: request.Headers, Body: request.Body}
	if send.Headers == nil {
		send.Headers = [][2]string{}
	}
	if request.Timeout > 0 {
		send.TimeoutMS = milliseconds(request.Timeout)
	}
	if request.Message != nil {
		send.Message = &request.Message.IdempotencyKey
	}
	var answer host.HTTPAnswer
	if err := host.Do("http.send", send, &answer); err != nil {
		return nil, err
	}
	// Without the query, where secrets may stand.
	place, _, _ := strings.Cut(request.URL, "?")
	return &Response{answer.Status, answer.Headers, answer.Body, method + " " + place}, nil
}

// OK is an error where the status is not one of 200 to 299.
func (r *Response) OK() error {
	if r.Status >= 200 && r.Status < 300 {
		return nil
	}
	said := string(r.Body[:min(len(r.Body), 200)])
	return &Error{Code: "status", Text: strings.TrimSuffix(fmt.Sprintf("%s: %d: %s", r.of, r.Status, said), ": ")}
}

// Header is the first header of this name, whatever its case; empty where there is none.
func (r *Response) Header(name string) string {
	for _, header := range r.Headers {
		if strings.EqualFold(header[0], name) {
			return header[1]
		}
	}
	return ""
}

// JSON reads the body into a value.
func (r *Response) JSON(into any) error {
	if err := json.Unmarshal(r.Body, into); err != nil {
		return &Error{Code: "answer", Text: fmt.Sprintf("%s: the answer's JSON does not fit: %v", r.of, err)}
	}
	return nil
}

// milliseconds is a wait, never shortened.
func milliseconds(wait time.Duration) *int64 {
	ms := int64((wait + time.Millisecond - 1) / time.Millisecond)
	return &ms
}
