package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dataFolder is where `wxbridge dev` keeps what must survive: the database and the secret its keys are sealed with.
type dataFolder struct {
	database string // path of the file; the store makes it
	secret   string // path of the file; it exists
	running  string // path of the file with the addresses of a dev that runs here; see announce
}

// openDataFolder makes the folder and the secret where they do not exist. A process that is killed half-way leaves
// either no secret or a whole one, and of two that start at once one makes it.
func openDataFolder(dir string) (dataFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dataFolder{}, fmt.Errorf("make the data folder: %w", err)
	}
	folder := existingDataFolder(dir)
	if _, err := os.Stat(folder.secret); !errors.Is(err, fs.ErrNotExist) {
		return folder, nil // reading it, later, tells what else may be wrong
	}
	if err := makeSecret(dir, folder.secret); err != nil {
		return dataFolder{}, fmt.Errorf("make a secret: %w", err)
	}
	return folder, nil
}

// existingDataFolder only names the files.
func existingDataFolder(dir string) dataFolder {
	return dataFolder{database: filepath.Join(dir, "wxbridge.db"), secret: filepath.Join(dir, "secret"), running: filepath.Join(dir, "running.json")}
}

// devAddresses are where a dev that is running answers.
type devAddresses struct{ bridge, simulator string }

type announced struct {
	Bridge    string `json:"bridge"`
	Simulator string `json:"simulator"`
}

// announce leaves the addresses for the commands of operators. forget takes them away, unless another dev has left its own.
func (d dataFolder) announce(at devAddresses) (forget func() error, err error) {
	text, err := json.Marshal(announced{at.bridge, at.simulator})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.running, text, 0o600); err != nil {
		return nil, fmt.Errorf("leave the addresses in the data folder: %w", err)
	}
	return func() error {
		if now, err := os.ReadFile(d.running); err != nil || !bytes.Equal(now, text) {
			return nil
		}
		return os.Remove(d.running)
	}, nil
}

// addresses are those of the dev that runs on the folder; an error if none does.
func (d dataFolder) addresses() (devAddresses, error) {
	text, err := os.ReadFile(d.running)
	if err != nil {
		return devAddresses{}, err
	}
	var at announced
	if err := json.Unmarshal(text, &at); err != nil {
		return devAddresses{}, err
	}
	return devAddresses{at.Bridge, at.Simulator}, nil
}

// makeSecret writes 32 random bytes in base64 under another name and links it to path, which fails if path exists.
func makeSecret(dir, path string) error {
	f, err := os.CreateTemp(dir, ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	random := make([]byte, 32)
	rand.Read(random) // never fails (crypto/rand)
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(random) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes a new name in dir survive a loss of power.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
