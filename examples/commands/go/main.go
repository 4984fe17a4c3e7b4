// A command in Go: run once for each message. The body is standard input, the rest is in the environment, and the
// exit code is the answer. Build it with the standard compiler:
//
//	GOOS=wasip1 GOARCH=wasm go build -o command.wasm main.go
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

const reject, retry = 65, 75 // EX_DATAERR and EX_TEMPFAIL of sysexits.h

func main() {
	var order struct {
		GatewayDown bool `json:"gateway_down"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&order); err != nil {
		fail(reject, "not JSON: "+err.Error())
	}
	attempt, _ := strconv.Atoi(os.Getenv("PELTON_ATTEMPT"))
	if order.GatewayDown && attempt < 3 {
		fail(retry, "the payment gateway is down")
	}
	fmt.Println("order", os.Getenv("PELTON_MESSAGE_ID"), "taken")
}

// fail ends with the last line of standard error as the reason.
func fail(code int, reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(code)
}
