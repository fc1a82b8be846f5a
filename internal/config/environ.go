package config

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"github.com/joho/godotenv"
)

// Environ turns "NAME=value" pairs into the map that Load takes. As with os/exec the last of two equal names counts.
func Environ(pairs []string) map[string]string {
	environ := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		environ[name] = value
	}
	return environ
}

// WithDotEnv adds the variables of a .env file to those of the environment, which wins. A file that cannot be read as
// NAME=value lines is a fault of its own. The parser's error is not kept: it quotes the file, secrets and all.
func WithDotEnv(environ map[string]string, dotenv []byte) (map[string]string, error) {
	dotenv = bytes.TrimPrefix(dotenv, []byte("\ufeff")) // what some editors of Windows begin a file with
	merged, err := godotenv.UnmarshalBytes(dotenv)
	if err != nil {
		return nil, Faults{{
			Variable: ".env",
			Problem:  fmt.Sprintf("line %d cannot be read as NAME=value, for example %sLISTEN=127.0.0.1:8080", faultyLine(dotenv), Prefix),
		}}
	}
	maps.Copy(merged, environ)
	return merged, nil
}

// faultyLine finds the first line with which the text before it can no longer be parsed, however it goes on.
func faultyLine(dotenv []byte) int {
	lines := bytes.SplitAfter(dotenv, []byte("\n"))
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil)); err == nil {
			return n + 1
		}
	}
	return 1
}
