// Package cli is the command line: one thin file a command, and the wiring of a server from a configuration (app.go,
// httpserver.go).
//
// What a command is asked for goes to stdout; everything else, the log included, to stderr. The exit code is 0 for
// success, 1 for a failure and 2 for a wrong command line or configuration.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"wxbridge/internal/config"
	"wxbridge/internal/logging"
)

// Run carries out the command that args (without the program's name) ask for and returns the exit code. It ends early,
// and gracefully, when ctx does.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	log := logging.NewWriter(stderr)
	defer log.Close()
	stderr = log
	e := &env{environ: config.Environ(environ), stdout: stdout, stderr: log}

	started := false
	root := &cobra.Command{
		Use:               "wxbridge",
		Short:             "Log people in through WeChat and hand out signed JSON Web Tokens",
		Long:              "wxbridge logs people in through WeChat (official account, mini program) and hands out signed JSON Web Tokens.\nTry it without an account or a file: wxbridge dev",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { started = true },
	}
	root.AddCommand(e.serveCommand(), e.devCommand(), e.simulatorCommand(), e.tokenCommand(), e.versionCommand())
	root.AddCommand(e.keysCommand(), e.fansCommand(), e.webhooksCommand(), e.appTokenCommand(), e.menuCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	err := root.ExecuteContext(ctx)
	var faults config.Faults
	var coded *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &faults):
		fmt.Fprintf(stderr, "wxbridge does not start: %s in the configuration\n%v\n", count(len(faults), "fault"), faults)
		return 2
	case errors.As(err, &coded):
		if coded.err != nil {
			fmt.Fprintf(stderr, "wxbridge: %v\n", coded.err)
		}
		return coded.code
	case !started:
		fmt.Fprintf(stderr, "wxbridge: %v\nRun 'wxbridge --help' for the commands and 'wxbridge COMMAND --help' for their options.\n", strings.TrimSpace(err.Error()))
		return 2
	default:
		fmt.Fprintf(stderr, "wxbridge: %v\n", err)
		return 1
	}
}

// exitError ends a command with a code of its own; without an error inside, everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// env is what a command may touch of the process it runs in.
type env struct {
	environ map[string]string
	stdout  io.Writer
	stderr  *logging.Writer // shared by the log and plain messages
}

// logger writes JSON lines to stderr.
func (e *env) logger() *slog.Logger {
	return slog.New(logging.NewHandler(e.stderr, slog.LevelInfo))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
