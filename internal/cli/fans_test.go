package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wxbridge/db"
)

// fanStore is a database of fans: alice of both apps with an alias, bob with a role, carol blocked, and one openid that two
// fans have in different apps.
type fanStore struct {
	t       *testing.T
	environ []string
	path    string
	alice   db.Fan
	alias   string
	bob     db.Fan
	carol   db.Fan
}

func newFanStore(t *testing.T) *fanStore {
	t.Helper()
	t.Chdir(t.TempDir())
	s := &fanStore{t: t, path: filepath.Join(t.TempDir(), "fans.db")}
	s.environ = append(serveEnviron(t, "http://127.0.0.1:1"), "WXBRIDGE_DATABASE=sqlite://"+s.path)
	s.open(func(store db.Store) {
		login := func(provider, openID, unionID, nickname string) db.Fan {
			l := db.Login{Identity: db.Identity{Provider: provider, AppID: "wx00000000000000" + provider[:1] + "a", OpenID: openID,
				OpenAccount: "default", UnionID: unionID, SessionKeySealed: []byte("sealed-session-key"), UserRefreshTokenSealed: []byte("sealed-refresh")}}
			if nickname != "" {
				l.Profile = &db.Profile{Nickname: nickname, JSON: []byte(`{"openid":"` + openID + `","city":"深圳"}`)}
			}
			result, err := store.SaveLogin(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			return result.Fan
		}
		official, mini := db.ProviderOfficialAccount, db.ProviderMiniProgram
		login(official, "oAlice", "uAlice", "爱丽丝\x1b[31m")
		s.alias = login(mini, "mAlice", "", "").ID
		s.alice = login(mini, "mAlice", "uAlice", "")
		s.bob = login(official, "oSame", "", "Bob")
		s.carol = login(mini, "oSame", "", "Carol")
		role := "editor"
		for id, a := range map[string]db.Access{s.bob.ID: {Role: &role}, s.carol.ID: {Status: db.StatusBlocked}} {
			if _, err := store.SetAccess(t.Context(), id, a, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	})
	return s
}

func (s *fanStore) open(do func(db.Store)) {
	s.t.Helper()
	store, err := db.Open(s.t.Context(), "sqlite://"+s.path, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	do(store)
}

// fans runs a fans command that must succeed.
func (s *fanStore) fans(args ...string) outcome {
	s.t.Helper()
	got := run(s.t, s.environ, append([]string{"fans"}, args...)...)
	if got.code != 0 {
		s.t.Fatalf("fans %s: exit code %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got
}

// refused runs a fans command that must fail with a text that holds why.
func (s *fanStore) refused(why string, args ...string) {
	s.t.Helper()
	got := run(s.t, s.environ, append([]string{"fans"}, args...)...)
	if got.code == 0 || !strings.Contains(got.stderr, why) || got.stdout != "" {
		s.t.Errorf("fans %s: exit code %d, want %q\n%s%s", strings.Join(args, " "), got.code, why, got.stdout, got.stderr)
	}
}

func (s *fanStore) fan(id string) (fan db.Fan) {
	s.t.Helper()
	s.open(func(store db.Store) {
		var err error
		if fan, err = store.Fan(s.t.Context(), id); err != nil {
			s.t.Fatal(err)
		}
	})
	return fan
}

// revoked are the subjects whose tokens of before are revoked for at least thirty days, the longest life of a token.
func (s *fanStore) revoked() (subjects []string) {
	s.t.Helper()
	s.open(func(store db.Store) {
		rows, err := store.Revocations(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range rows {
			if time.Until(r.ExpiresAt) > 30*24*time.Hour {
				subjects = append(subjects, r.Value)
			}
		}
	})
	slices.Sort(subjects)
	return subjects
}

func wantEvent(t *testing.T, got outcome, event, fan string) {
	t.Helper()
	for line := range strings.Lines(got.stderr) {
		var said struct{ Event, Fan string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Event == event && said.Fan == fan {
			return
		}
	}
	t.Errorf("LOG-03: no event %s of %s in\n%s", event, fan, got.stderr)
}

func TestFansList(t *testing.T) {
	s := newFanStore(t)
	list := func(args ...string) (ids []string, next string) {
		t.Helper()
		var page struct {
			Fans []struct{ ID string }
			Next string
		}
		if err := json.Unmarshal([]byte(s.fans(append([]string{"list", "--json"}, args...)...).stdout), &page); err != nil {
			t.Fatal(err)
		}
		for _, fan := range page.Fans {
			ids = append(ids, fan.ID)
		}
		return ids, page.Next
	}
	for name, row := range map[string]struct {
		args []string
		want []string
	}{
		"all":      {nil, []string{s.alice.ID, s.bob.ID, s.carol.ID}},
		"blocked":  {[]string{"--status", "blocked"}, []string{s.carol.ID}},
		"role":     {[]string{"--role", "editor"}, []string{s.bob.ID}},
		"provider": {[]string{"--provider", "mini_program"}, []string{s.alice.ID, s.carol.ID}},
		"nickname": {[]string{"--nickname", "爱"}, []string{s.alice.ID}},
		"nobody":   {[]string{"--nickname", "x"}, nil},
	} {
		if got, next := list(row.args...); !cmp.Equal(got, row.want) || next != "" {
			t.Errorf("%s: %v, next %q", name, got, next)
		}
	}
	first, next := list("--limit", "2")
	second, end := list("--limit", "2", "--after", next)
	if diff := cmp.Diff([]string{s.alice.ID, s.bob.ID, s.carol.ID}, append(first, second...)); diff != "" || end != "" {
		t.Errorf("pages, next %q: %s", end, diff)
	}
	table := s.fans("list", "--limit", "2").stdout
	if strings.Count(table, "\n") != 4 || !strings.Contains(table, "more: --after "+s.bob.ID) || strings.Contains(table, "\x1b") { // LOG-02
		t.Errorf("%q", table)
	}
	s.refused("--status", "list", "--status", "asleep")
	s.refused("--limit", "list", "--limit", "0")
}

func TestFansShowFindsAFanByEveryName(t *testing.T) {
	s := newFanStore(t)
	for _, name := range []string{s.alice.ID, s.alias, "oAlice", "mAlice", "mini_program:wx00000000000000ma:mAlice"} {
		var fan struct {
			ID, Status string
			Aliases    []string
			Identities []map[string]any
		}
		got := s.fans("show", "--json", name).stdout
		if err := json.Unmarshal([]byte(got), &fan); err != nil {
			t.Fatal(err)
		}
		if fan.ID != s.alice.ID || fan.Status != "active" || !cmp.Equal(fan.Aliases, []string{s.alias}) || len(fan.Identities) != 2 {
			t.Errorf("%s: %s", name, got)
		}
		if strings.Contains(got, "sealed-") || strings.Contains(got, "深圳") {
			t.Errorf("%s shows a secret, or WeChat's whole profile: %s", name, got)
		}
	}
	text := s.fans("show", "oAlice").stdout
	for _, want := range []string{s.alice.ID, s.alias, "official_account:wx00000000000000oa:oAlice", "uAlice", "active"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("LOG-02 the nickname controls the terminal: %q", text)
	}
	s.refused("mini_program:wx00000000000000ma:oSame", "show", "oSame") // WX-04
	s.refused("there is no fan", "show", "nobody")
	s.refused("there is no fan", "show", "official_account:wx00000000000000oa:mAlice")
	s.refused("accepts 1 arg", "show")
}

func TestFansExportIsWhatIsStored(t *testing.T) {
	s := newFanStore(t)
	got := s.fans("export", s.alias)
	var export struct {
		ID         string
		Identities []struct {
			OpenID        string `json:"openid"`
			Profile       map[string]string
			HasSessionKey bool `json:"has_session_key"`
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &export); err != nil {
		t.Fatal(err)
	}
	if len(export.Identities) != 2 {
		t.Fatalf("%s", got.stdout)
	}
	official := export.Identities[0]
	if official.OpenID != "oAlice" { // both may have come in one millisecond
		official = export.Identities[1]
	}
	if export.ID != s.alice.ID || official.Profile["city"] != "深圳" ||
		!official.HasSessionKey || strings.Contains(got.stdout, "sealed-") {
		t.Errorf("%s", got.stdout)
	}
	wantEvent(t, got, "fan.exported", s.alice.ID)
}

func TestTOK10_FansBlockAndUnblock(t *testing.T) {
	s := newFanStore(t)
	wantEvent(t, s.fans("block", s.alias), "fan.blocked", s.alice.ID)
	if s.fan(s.alice.ID).Status != db.StatusBlocked {
		t.Error("not blocked")
	}
	want := []string{s.alice.ID, s.alias}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.revoked()); diff != "" {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
	wantEvent(t, s.fans("block", s.alias), "fan.blocked", s.alice.ID) // to be sure
	wantEvent(t, s.fans("unblock", "oAlice"), "fan.unblocked", s.alice.ID)
	if s.fan(s.alice.ID).Status != db.StatusActive {
		t.Error("still blocked")
	}
	if got := s.fans("unblock", "oAlice"); !strings.Contains(got.stdout, "nothing to change") {
		t.Errorf("%s", got.stdout)
	}
	s.refused("there is no fan", "block", "nobody")
}

func TestTOK10_FansRole(t *testing.T) {
	s := newFanStore(t)
	if got := s.fans("role", s.alice.ID, "editor"); strings.Contains(got.stdout, "revoked") || len(s.revoked()) != 0 {
		t.Errorf("a first role revokes: %s", got.stdout)
	}
	if got := s.fans("role", "oAlice").stdout; got != "editor\n" {
		t.Errorf("the role is %q", got)
	}
	got := s.fans("role", s.bob.ID, "admin")
	wantEvent(t, got, "fan.role_changed", s.bob.ID)
	if !strings.Contains(got.stdout, "revoked") || !cmp.Equal(s.revoked(), []string{s.bob.ID}) {
		t.Errorf("a changed role revokes nothing: %s", got.stdout)
	}
	s.fans("role", s.alice.ID, "--none")
	if s.fan(s.alice.ID).Role != "" || len(s.revoked()) != 3 {
		t.Errorf("taking a role away: role %q, revoked %v", s.fan(s.alice.ID).Role, s.revoked())
	}
	s.refused("a role is", "role", s.alice.ID, "a role")
	s.refused("a role is", "role", s.alice.ID, "角色")
	s.refused("a role is", "role", s.alice.ID, strings.Repeat("a", 65))
	s.refused("--none", "role", s.alice.ID, "")
	s.refused("not both", "role", s.alice.ID, "x", "--none")
}

func TestLOG04_FansErase(t *testing.T) {
	s := newFanStore(t)
	got := s.fans("erase", "--yes", s.alias)
	wantEvent(t, got, "fan.erased", s.alice.ID)
	want := []string{s.alice.ID, s.alias}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.revoked()); diff != "" {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
	s.refused("there is no fan", "show", s.alice.ID)
	s.refused("there is no fan", "show", "oAlice")
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{"oAlice", "mAlice", "uAlice", "爱丽丝"} {
		if strings.Contains(string(content), trace) {
			t.Errorf("%s is still in the file", trace)
		}
	}
}

func TestFansEraseAsks(t *testing.T) {
	path, err := binary() // before the working directory changes
	if err != nil {
		t.Fatal(err)
	}
	s := newFanStore(t)
	for _, answer := range []string{"", "y\n", "no\n", "yes\n"} {
		erased := answer == "yes\n"
		cmd := exec.Command(path, "fans", "erase", s.carol.ID)
		cmd.Env, cmd.Dir, cmd.Stdin = s.environ, t.TempDir(), strings.NewReader(answer)
		out, err := cmd.CombinedOutput()
		if (err == nil) != erased || !strings.Contains(string(out), "[yes/no]") || !strings.Contains(string(out), "Carol") {
			t.Errorf("answer %q: %v\n%s", answer, err, out)
		}
		if erased {
			s.refused("there is no fan", "show", s.carol.ID)
		} else {
			s.fans("show", s.carol.ID)
		}
	}
}

func TestFansNeedADatabaseAndMakeNone(t *testing.T) {
	t.Chdir(t.TempDir())
	missing := filepath.Join(t.TempDir(), "none.db")
	got := run(t, append(serveEnviron(t, "http://127.0.0.1:1"), "WXBRIDGE_DATABASE=sqlite://"+missing), "fans", "list")
	if got.code != 1 || !strings.Contains(got.stderr, "there is no database at "+missing) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the command made a database")
	}
	if got := run(t, nil, "fans", "list"); got.code != 2 || !strings.Contains(got.stderr, "WXBRIDGE_PUBLIC_URL") {
		t.Errorf("without a configuration: exit code %d: %s", got.code, got.stderr)
	}
	if got := run(t, nil, "fans", "list", "--data", t.TempDir()); got.code != 1 || !strings.Contains(got.stderr, "there is no database") {
		t.Errorf("an empty folder: exit code %d: %s", got.code, got.stderr)
	}
}

func TestREL14_AFaultyClientsFileStopsTheStartAndNamesItsLine(t *testing.T) {
	t.Chdir(t.TempDir())
	file := filepath.Join(t.TempDir(), "clients.yaml")
	if err := os.WriteFile(file, []byte("clients:\n  - {id: orders, may: [introspect]}\n  - {id: desk, secret: hush-hush, may: [revoke]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "w.db")
	environ := append(serveEnviron(t, "http://127.0.0.1:1"), "WXBRIDGE_CLIENTS_FILE="+file, "WXBRIDGE_DATABASE=sqlite://"+database)
	got := run(t, environ, "serve")
	for _, want := range []string{"3 faults", "WXBRIDGE_CLIENTS_FILE: " + file + " line 2: secret_sha256", file + " line 3: there is a field secret", "(example: "} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in\n%s", want, got.stderr)
		}
	}
	if got.code != 2 || strings.Contains(got.stderr, "hush-hush") {
		t.Errorf("exit code %d\n%s", got.code, got.stderr)
	}
}
