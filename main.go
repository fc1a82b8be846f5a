// Wxbridge turns WeChat's logins into signed JSON Web Tokens. See README.md; the commands are in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"wxbridge/internal/cli"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signal.Ignore(syscall.SIGPIPE) // a log collector that ends does not end the bridge
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel() // open requests finish
		<-signals
		time.Sleep(300 * time.Millisecond) // or not; but timeout(1) sends its signal twice, dev removes its folder, and the log is written
		os.Exit(1)
	}()
	os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
