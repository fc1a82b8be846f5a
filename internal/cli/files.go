package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"wxbridge/handlers"
	"wxbridge/internal/clients"
	"wxbridge/internal/config"
	"wxbridge/internal/webhooks"
	"wxbridge/internal/yamlfile"
)

// files is what stands in the files that the configuration names.
type files struct {
	clients   *clients.Registry // nil: nobody is registered
	endpoints []webhooks.Endpoint
	secrets   []string // the files of the endpoints' secrets
}

// loadFiles reads them. err is what is wrong with the configuration itself: all faults are told together, and before anything
// is opened.
func loadFiles(cfg config.Config, err error) (files, error) {
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return files{}, err
	}
	apps := appNames(cfg.Apps)
	if err != nil {
		apps = nil // it is not known which there would be
	}
	var f files
	var inClients, inWebhooks config.Faults
	f.clients, inClients = loadClients(cfg.ClientsFile)
	f.endpoints, f.secrets, inWebhooks = loadWebhooks(cfg.EventWebhooks, apps)
	if faults = append(append(faults, inClients...), inWebhooks...); len(faults) > 0 {
		return files{}, faults
	}
	return f, nil
}

// appNames gives the appids that an alias or an appid names.
func appNames(apps []config.NamedApp) map[string][]string {
	names := map[string][]string{}
	for _, a := range apps {
		names[a.Alias], names[a.ID] = append(names[a.Alias], a.ID), []string{a.ID}
	}
	return names
}

// loadClients reads the clients file; without one nobody is registered.
func loadClients(path string) (*clients.Registry, config.Faults) {
	if path == "" {
		return nil, nil
	}
	in := configFile{variable: "CLIENTS_FILE", path: path, example: "examples/clients.yaml"}
	text, err := readFile(path)
	if err != nil {
		return nil, config.Faults{in.fault(0, "cannot be read: "+err.Error())}
	}
	registry, err := clients.Parse(text)
	return registry, in.faults(err)
}

// loadWebhooks reads the file of endpoints; without one there are none. Paths in it are relative to it.
func loadWebhooks(path string, apps map[string][]string) ([]webhooks.Endpoint, []string, config.Faults) {
	if path == "" {
		return nil, nil, nil
	}
	in := configFile{variable: "EVENT_WEBHOOKS", path: path, example: "examples/webhooks.yaml"}
	text, err := readFile(path)
	if err != nil {
		return nil, nil, config.Faults{in.fault(0, "cannot be read: "+err.Error())}
	}
	known := webhooks.Known{Events: handlers.EventTypes(), Answered: handlers.AnsweredEvents(), Apps: apps}
	endpoints, secretFiles, err := webhooks.Parse(text, known, func(name string) ([]byte, error) { return readFile(in.beside(name)) })
	for i, name := range secretFiles {
		secretFiles[i] = in.beside(name)
	}
	return endpoints, secretFiles, in.faults(err)
}

// configFile is a file that a variable names.
type configFile struct{ variable, path, example string }

// fault names file and line; line 0 is the whole file.
func (c configFile) fault(line int, problem string) config.Fault {
	where := c.path
	if line > 0 {
		where = fmt.Sprintf("%s line %d", c.path, line)
	}
	return config.Fault{Variable: config.Prefix + c.variable, Problem: where + ": " + problem, Example: c.example}
}

// faults tells what is wrong with it.
func (c configFile) faults(err error) (faults config.Faults) {
	found, _ := errors.AsType[yamlfile.Faults](err)
	for _, f := range found {
		faults = append(faults, c.fault(f.Line, f.Problem))
	}
	return faults
}

// beside is where a path that stands in the file leads.
func (c configFile) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(c.path), name)
}
