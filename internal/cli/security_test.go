package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secretName recognises what must be compared in constant time: what somebody who does not know it could guess byte by byte.
var secretName = regexp.MustCompile(`(?i)secret|signature|verifier|password|csrf|formtoken|sessionkey|hmac|digest|(^|[^a-z])state$|^mac$|sealed|private`)

// plainComparisons finds ==, != and bytes.Equal and the like on values whose names say that they are secret. Comparing with
// a constant tells nothing about a secret: emptiness, nil, a length, a placeholder.
func plainComparisons(fset *token.FileSet, file *ast.File) (found []string) {
	packages := map[string]bool{}
	for _, imported := range file.Imports {
		path := strings.Trim(imported.Path.Value, `"`)
		packages[path[strings.LastIndex(path, "/")+1:]] = true
	}
	isConstant := func(e ast.Expr) bool {
		if s, ok := e.(*ast.SelectorExpr); ok && packages[nameOf(s.X)] {
			return true // http.StateNew
		}
		return isLiteral(e)
	}
	report := func(at ast.Node, what string) { found = append(found, fset.Position(at.Pos()).String()+": "+what) }
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !isConstant(n.X) && !isConstant(n.Y) && (isSecret(n.X) || isSecret(n.Y)) {
				report(n, nameOf(n.X)+" "+n.Op.String()+" "+nameOf(n.Y))
			}
		case *ast.CallExpr:
			called := nameOf(n.Fun)
			if slices.Contains([]string{"bytes.Equal", "bytes.Compare", "strings.EqualFold", "strings.Compare", "slices.Equal", "reflect.DeepEqual"}, called) &&
				slices.ContainsFunc(n.Args, isSecret) {
				report(n, called)
			}
		}
		return true
	})
	return found
}

func isLiteral(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	case *ast.UnaryExpr:
		return isLiteral(e.X)
	case *ast.CallExpr:
		return nameOf(e.Fun) == "len"
	}
	return false
}

// isSecret looks at the last word of a name: request.state, not state.request.
func isSecret(e ast.Expr) bool {
	name := nameOf(e)
	if call, ok := e.(*ast.CallExpr); ok {
		name = nameOf(call.Fun)
		for _, wrap := range []string{"string", "[]byte"} {
			if name == wrap && len(call.Args) == 1 {
				return isSecret(call.Args[0])
			}
		}
		if name == "len" {
			return false
		}
		name = strings.TrimSuffix(name, ".Reveal") // wechat.Secret and config.Secret
	}
	return secretName.MatchString(name[strings.LastIndex(name, ".")+1:])
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		if key, ok := e.Index.(*ast.BasicLit); ok {
			return strings.Trim(key.Value, `"`)
		}
		return nameOf(e.X)
	case *ast.SliceExpr:
		return nameOf(e.X)
	case *ast.CallExpr:
		return nameOf(e.Fun)
	case *ast.ParenExpr:
		return nameOf(e.X)
	case *ast.StarExpr:
		return nameOf(e.X)
	case *ast.ArrayType:
		return "[]" + nameOf(e.Elt)
	}
	return ""
}

func TestSRV05_SecretsAreNotComparedByteByByte(t *testing.T) {
	t.Run("the rule finds what it looks for", func(t *testing.T) {
		const sample = `package p
import "net/http"
func f() {
	_ = f.State == state
	_ = p["state"] != want
	_ = bytes.Equal(signature, mac)
	_ = app.Secret.Reveal() == given
	_ = string(sessionKey) == x
	_ = secret == ""
	_ = len(signature) != 64
	_ = status == other
	_ = state == http.StateNew
	_ = err == nil
}`
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "sample.go", sample, 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := plainComparisons(fset, file); len(found) != 5 {
			t.Errorf("finds %d of 5: %q", len(found), found)
		}
	})
	files := 0
	// The simulator plays WeChat for one developer on one machine.
	skip := []string{"testdata", "simulator", ".git", "dbtest"}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skip, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		for _, comparison := range plainComparisons(fset, file) {
			t.Errorf("%s: use crypto/subtle or hmac.Equal", comparison)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were read, so this proves little", files)
	}
}

// The pause before the shutdown is long enough for a quick request. This one is open when the listener is closed already.
func TestREL10_ARequestThatOutlastsThePauseIsAnswered(t *testing.T) {
	wechat := startWeChat(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	wechat.gate = func(path string) {
		if path == "/sns/jscode2session" {
			close(arrived)
			<-release
		}
	}
	b := startServe(t, t.TempDir(), serveEnviron(t, wechat.url))
	code := wechat.jsCode(t, "alice", devApp(t, "mini_program").AppID)
	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		var answer loginAnswer
		status, err := tryPostJSON(b.url+"/miniprogram/login", map[string]string{"code": code}, &answer)
		answered <- result{status, err}
	}()
	<-arrived
	b.signal(t, syscall.SIGTERM)
	for deadline := time.Now().Add(3 * time.Second); ; { // less than the call to WeChat may take
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(b.url, "http://"), time.Second)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("connections are still taken")
		}
	}
	close(release)
	if r := <-answered; r.err != nil || r.status != http.StatusOK {
		t.Errorf("the request in flight was answered %d, error %v", r.status, r.err)
	}
	if code := b.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// Casting what a person chose to one of these types would switch html/template's escaping off.
func TestWEB09_NothingIsCastPastTheTemplatesEscaping(t *testing.T) {
	casts := []string{"template.HTML", "template.HTMLAttr", "template.JS", "template.JSStr", "template.CSS", "template.URL", "template.Srcset"}
	imports := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		for _, imported := range file.Imports {
			switch imported.Path.Value {
			case `"html/template"`:
				imports++
			case `"text/template"`:
				t.Errorf("%s writes pages without escaping", path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(casts, nameOf(s)) {
				t.Errorf("%s uses %s", fset.Position(s.Pos()), nameOf(s))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports == 0 {
		t.Error("no file uses html/template, so this proves nothing")
	}
}
