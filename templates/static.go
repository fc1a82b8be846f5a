package templates

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// Static serves the embedded files under /static/ to GET and HEAD. An address with the version the pages use may be kept
// for ever, any other is revalidated; there are no directory listings.
func Static() http.Handler {
	files, err := versionedAssets()
	if err != nil {
		panic("templates: " + err.Error()) // the binary's own files cannot be read
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if !IsStatic(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		files[strings.TrimPrefix(r.URL.Path, staticPrefix)].serve(w, r)
	})
}

// IsStatic reports whether Static has a file for the path, for callers with a not-found answer of their own.
func IsStatic(urlPath string) bool {
	name, ok := strings.CutPrefix(urlPath, staticPrefix)
	if !ok || contentType(name) == "" {
		return false
	}
	info, err := fs.Stat(staticFiles, "static/"+name)
	return err == nil && info.Mode().IsRegular()
}

const staticPrefix = "/static/"

//go:embed static
var staticFiles embed.FS

// contentType knows the kinds of file that are served; one of another kind ("") is not reachable.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return ""
}

// assets are the servable files by their path below static/.
type assets map[string]*asset

// asset is one file. Its bytes stay in the binary; only the compressed form is kept in memory, once somebody has asked.
type asset struct {
	path       string // in staticFiles
	version    string // changes with the content
	compressed func() []byte
}

// versionedAssets reads each embedded file once, for its version.
func versionedAssets() (assets, error) {
	all := assets{}
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || contentType(name) == "" {
			return err
		}
		file, err := staticFiles.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, file); err != nil {
			return err
		}
		a := &asset{path: name, version: hex.EncodeToString(sum.Sum(nil)[:8])}
		a.compressed = sync.OnceValue(a.compress)
		all[strings.TrimPrefix(name, "static/")] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	return all, nil
}

// url is the template function asset: the address of a file with its version.
func (all assets) url(name string) (string, error) {
	a := all[name]
	if a == nil {
		return "", fmt.Errorf("no static file %q", name)
	}
	return staticPrefix + name + "?v=" + a.version, nil
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", contentType(a.path))
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("Range") == "" && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+a.version+`-gzip"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.compressed()))
		return
	}
	file, err := staticFiles.Open(a.path)
	if err != nil {
		panic("templates: " + err.Error()) // it was there when versionedAssets read it
	}
	defer file.Close()
	h.Set("ETag", `"`+a.version+`"`)
	http.ServeContent(w, r, "", time.Time{}, file.(io.ReadSeeker)) // package embed documents that its files seek
}

func (a *asset) compress() []byte {
	plain, err := staticFiles.ReadFile(a.path)
	if err != nil {
		panic("templates: " + err.Error())
	}
	var out bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid, and a buffer takes every write
	_, _ = zip.Write(plain)
	_ = zip.Close()
	return bytes.Clone(out.Bytes())
}

// acceptsGzip reads Accept-Encoding as RFC 9110 §12.5.3 has it, except that the wildcard counts as no.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
