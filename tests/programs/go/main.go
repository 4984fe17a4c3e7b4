// Does what the header `do` of its messages says, good or bad.
package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"

	pelton "pelton/sdk/go"
)

func main() { pelton.Handle(handle) }

func handle(message pelton.Message) error {
	do, _ := message.Header("do")
	switch do {
	case "retry":
		return pelton.RetryAfter(250*time.Millisecond, "asked to retry at attempt %d", message.Attempt)
	case "reject":
		return fmt.Errorf("wrapped: %w", pelton.Reject("asked to reject"))
	case "error":
		return fmt.Errorf("a plain error")
	case "uncaught":
		var nothing *pelton.Message
		fmt.Println(nothing.ID)
	case "loop":
		for {
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "memory":
		var all [][]byte
		for {
			all = append(all, []byte(strings.Repeat("x", 1<<20)))
		}
	case "deep":
		fmt.Println(deep(1))
	case "flood":
		for i := 0; i < 2_000; i++ {
			fmt.Fprintln(os.Stderr, strings.Repeat("flood ", 20))
		}
	case "print":
		fmt.Println("printed")
	case "exit":
		os.Exit(3)
	case "files":
		_, err := os.ReadFile("/etc/passwd")
		_, home := os.LookupEnv("HOME")
		fmt.Println("denied:", err != nil && !home)
	case "echo":
		echo(message)
	}
	return nil
}

func deep(n int) int { return deep(n+1) + n }

func echo(message pelton.Message) {
	key := "none"
	if message.Key != nil {
		key = fmt.Sprintf("%q", message.Key)
	}
	for _, header := range message.Headers {
		fmt.Printf("header %s=%s\n", header.Name, header.Value)
	}
	fmt.Printf("id %s, key %s, attempt %d, body %d %08x\n", message.ID, key, message.Attempt, len(message.Body), crc32.ChecksumIEEE(message.Body))
}
