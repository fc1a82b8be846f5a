package cli

import (
	"crypto/rand"
	"encoding/base64"
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
	return dataFolder{database: filepath.Join(dir, "wxbridge.db"), secret: filepath.Join(dir, "secret")}
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
