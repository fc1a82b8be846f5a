package cli

import (
	"errors"
	"fmt"

	"wxbridge/internal/clients"
	"wxbridge/internal/config"
)

// loadClients reads the clients file; without one nobody is registered. What is wrong with it stops the start as every
// wrong setting does, and names file and line.
func loadClients(path string) (*clients.Registry, error) {
	if path == "" {
		return nil, nil
	}
	fault := func(problem string) config.Fault {
		return config.Fault{Variable: config.Prefix + "CLIENTS_FILE", Problem: problem, Example: "examples/clients.yaml"}
	}
	text, err := readFile(path)
	if err != nil {
		return nil, config.Faults{fault("cannot be read: " + err.Error())}
	}
	registry, err := clients.Parse(text)
	var found clients.Faults
	if !errors.As(err, &found) {
		return registry, err
	}
	var faults config.Faults
	for _, f := range found {
		where := path
		if f.Line > 0 {
			where = fmt.Sprintf("%s line %d", path, f.Line)
		}
		faults = append(faults, fault(where+": "+f.Problem))
	}
	return nil, faults
}
