package handlers

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/templates"
)

// jwks publishes the public keys.
func (s *Server) jwks(c *gin.Context) error {
	c.Header("Cache-Control", "public, max-age="+strconv.Itoa(int(s.cfg.JWKSFresh()/time.Second)))
	c.Data(http.StatusOK, "application/jwk-set+json", s.cfg.Keys.JWKS())
	return nil
}

// healthz says that the process is alive.
func (s *Server) healthz(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
	return nil
}

// readyz says that logins can be served: the store answers and there is a key. It never asks WeChat (REL-11).
func (s *Server) readyz(c *gin.Context) error {
	if s.draining.Load() {
		return errUnavailable.because(errors.New("shutting down"))
	}
	if err := s.cfg.Store.Ping(c.Request.Context()); err != nil {
		return errUnavailable.because(err)
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"status": "ready"})
	return nil
}

// static serves the embedded style sheets and scripts.
func (s *Server) static() handlerFunc {
	files := templates.Static()
	return func(c *gin.Context) error {
		if !templates.IsStatic(c.Request.URL.Path) {
			return errNotFound
		}
		files.ServeHTTP(c.Writer, c.Request)
		return nil
	}
}

// staticFile serves one of the static files at an address without a version.
func (s *Server) staticFile(name string) handlerFunc {
	serve := s.static()
	return func(c *gin.Context) error {
		c.Request.URL.Path = "/static/" + name
		return serve(c)
	}
}

var domainFileName = regexp.MustCompile(`^/((?:MP|WW)_verify_[A-Za-z0-9]{1,64}\.txt)$`)

// maxDomainFile bounds a verification file; real ones hold 16 characters.
const maxDomainFile = 4 << 10

// domainFile answers the files with which WeChat proves who owns a domain, by exact name (WX-20). Anything else that has no
// route ends here too.
func (s *Server) domainFile(c *gin.Context) error {
	match := domainFileName.FindStringSubmatch(c.Request.URL.Path)
	if match == nil || s.cfg.DomainFiles == "" {
		return errNotFound
	}
	if c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead {
		c.Header("Allow", "GET, HEAD")
		return errMethodNotAllowed
	}
	content, err := readDomainFile(s.cfg.DomainFiles, match[1])
	if errors.Is(err, fs.ErrNotExist) {
		return errNotFound
	}
	if err != nil {
		return errServer.because(err)
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", content)
	return nil
}

func readDomainFile(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxDomainFile))
}
