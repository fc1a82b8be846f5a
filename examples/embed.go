// Package examples holds the example applications as files, so that the simulator can run the mini program.
package examples

import (
	"embed"
	"io/fs"
)

// MiniProgram is the native mini-program project, rooted where its app.json is.
func MiniProgram() fs.FS {
	root, err := fs.Sub(files, "miniprogram")
	if err != nil {
		panic(err) // the name is fixed above: only a broken build gets here
	}
	return root
}

//go:embed miniprogram
var files embed.FS
