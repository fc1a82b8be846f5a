package simulator

import (
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

// programManifest is what the browser needs to know before it runs the mini program.
type programManifest struct {
	AppID   string   `json:"appid"`
	Scripts []string `json:"scripts"` // every module, as a path inside the program
}

// handleManifest lists the mini program's modules: require() is synchronous, so all are loaded beforehand.
func (l *launcher) handleManifest(w http.ResponseWriter, r *http.Request) {
	appID := l.programAppID()
	if appID == "" {
		http.NotFound(w, r)
		return
	}
	manifest := programManifest{AppID: appID, Scripts: []string{}}
	err := fs.WalkDir(l.server.cfg.MiniProgram, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && extension(entry.Name()) == ".js" {
			manifest.Scripts = append(manifest.Scripts, path)
		}
		return err
	})
	if err != nil {
		l.server.cfg.Logger.Error("the mini program cannot be read", "error", err)
		http.Error(w, "the mini program cannot be read", http.StatusInternalServerError)
		return
	}
	writeControl(w, http.StatusOK, manifest)
}

// handleProgramFile serves one file of the mini program: modules wrapped, style sheets translated, the rest as it is.
func (l *launcher) handleProgramFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	if l.programAppID() == "" || !fs.ValidPath(name) {
		http.NotFound(w, r)
		return
	}
	content, err := fs.ReadFile(l.server.cfg.MiniProgram, name)
	if errors.Is(err, fs.ErrNotExist) && extension(name) == ".wxss" {
		content, err = nil, nil // a page need not have a style sheet (documented)
	}
	if err != nil {
		http.NotFound(w, r)
		return
	}
	switch ext := extension(name); ext {
	case ".js":
		serveText(w, "text/javascript; charset=utf-8", l.wrapModule(name, content))
	case ".wxss":
		serveText(w, "text/css; charset=utf-8", translateStyles(content))
	case ".json":
		serveText(w, "application/json", content)
	case ".png", ".jpg", ".jpeg", ".gif", ".webp":
		serveText(w, mime.TypeByExtension(ext), content)
	default: // .wxml above all; never as a page
		serveText(w, "text/plain; charset=utf-8", content)
	}
}

// moduleScope is what a module of a mini program sees: its own loader, the framework, and, as on a phone, nothing of the
// browser, whose names are parameters that get no argument.
const moduleScope = "require,module,exports,wx,App,Page,getApp,getCurrentPages," +
	"window,document,location,localStorage,sessionStorage,history,fetch,XMLHttpRequest,WebSocket"

// wrapModule makes a CommonJS module a script of its own, so that nothing has to be evaluated in the browser. The first
// line keeps its number. To config.js one line is added: the program talks to the bridge it was started beside.
func (l *launcher) wrapModule(name string, source []byte) []byte {
	var b strings.Builder
	b.WriteString("defineMiniProgramModule(" + quoteJS(name) + ",function(" + moduleScope + "){")
	b.Write(source)
	if name == "config.js" {
		b.WriteString("\n;module.exports.bridge=" + quoteJS(l.bridge.String()) + ";")
	}
	b.WriteString("\n});\n")
	return []byte(b.String())
}

func quoteJS(s string) string {
	quoted, _ := json.Marshal(s) // a string always can be; JSON's escapes are JavaScript's
	return string(quoted)
}

var rpxLength = regexp.MustCompile(`(-?\d*\.?\d+)rpx\b`)

// translateStyles turns WXSS into CSS: a screen is 750rpx wide (documented), and the rules hold inside the phone only.
func translateStyles(source []byte) []byte {
	css := rpxLength.ReplaceAll(source, []byte("calc($1 * 100cqw / 750)"))
	return append(append([]byte("#miniprogram-view {\n"), css...), "\n}\n"...)
}
