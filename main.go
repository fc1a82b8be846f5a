// Wxbridge turns WeChat's logins into signed JSON Web Tokens. See README.md; the commands are in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"wxbridge/internal/cli"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel() // open requests finish
		<-signals
		os.Exit(1) // or not
	}()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
