package cli_test

import (
	"strings"
	"testing"

	"wxbridge/db"
)

// One person in WeChat and in WeCom: two fans until an operator says otherwise, and again when the operator was wrong.
func TestFansLink(t *testing.T) {
	s := newFanStore(t)
	var member db.Fan
	s.open(func(store db.Store) {
		result, err := store.SaveLogin(t.Context(), db.Login{Profile: &db.Profile{Nickname: "李爱丽"}, Identity: db.Identity{Provider: db.ProviderWeCom,
			AppID: "ww0123456789abcdef", OpenID: "lialili", OpenAccount: "default"}})
		if err != nil {
			t.Fatal(err)
		}
		member = result.Fan
	})
	linked := s.fans("link", "oAlice", "lialili")
	if linked.code != 0 || !strings.Contains(linked.stdout, s.alice.ID+": has "+member.ID) || !strings.Contains(linked.stdout, "fans unlink "+member.ID) {
		t.Fatalf("%d\n%s\n%s", linked.code, linked.stdout, linked.stderr)
	}
	for _, want := range []string{`"event":"fan.linked_by_operator"`, `"from":"` + member.ID + `"`, `wecom:ww0123456789abcdef:lialili`} {
		if !strings.Contains(linked.stderr, want) {
			t.Errorf("LOG-03 no %s in %s", want, linked.stderr)
		}
	}
	if shown := s.fans("show", member.ID); !strings.Contains(shown.stdout, "wecom:ww0123456789abcdef:lialili") || !strings.Contains(shown.stdout, "linked") {
		t.Errorf("%s", shown.stdout)
	}
	for what, row := range map[string]struct {
		args []string
		want string
	}{
		"twice":         {[]string{"link", "oAlice", "lialili"}, "one fan already"},
		"nobody":        {[]string{"link", "oAlice", "nobody"}, "there is no fan nobody"},
		"never linked":  {[]string{"unlink", s.bob.ID}, "nobody was linked"},
		"one name only": {[]string{"link", "oAlice"}, "accepts 2 arg"},
	} {
		t.Log(what)
		s.refused(row.want, row.args...)
	}
	parted := s.fans("unlink", "oAlice")
	if parted.code != 0 || !strings.Contains(parted.stdout, member.ID+": a fan of its own again, with wecom:ww0123456789abcdef:lialili") ||
		!strings.Contains(parted.stderr, `"event":"fan.unlinked"`) {
		t.Fatalf("%d\n%s\n%s", parted.code, parted.stdout, parted.stderr)
	}
	if shown := s.fans("show", "lialili"); !strings.Contains(shown.stdout, "李爱丽") || strings.Contains(shown.stdout, "oAlice") {
		t.Errorf("%s", shown.stdout)
	}
	if shown := s.fans("show", "oAlice"); !strings.Contains(shown.stdout, "oAlice") || strings.Contains(shown.stdout, "lialili") {
		t.Errorf("%s", shown.stdout)
	}
}

// A userid is what WeCom's console shows, whatever its case; an openid of WeChat's is not another one's.
func TestFansByUserID(t *testing.T) {
	s := newFanStore(t)
	s.open(func(store db.Store) {
		for _, openID := range []string{"zhangsan", "guest~oAbC"} {
			if _, err := store.SaveLogin(t.Context(), db.Login{Identity: db.Identity{Provider: db.ProviderWeCom,
				AppID: "ww0123456789abcdef", OpenID: openID, OpenAccount: "default"}}); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, name := range []string{"zhangsan", "ZhangSan", "wecom:ww0123456789abcdef:ZhangSan", "guest~oAbC", "wecom:ww0123456789abcdef:guest~oAbC"} {
		want := "zhangsan"
		if strings.Contains(name, "guest") {
			want = "guest~oAbC"
		}
		if o := s.fans("show", name); o.code != 0 || !strings.Contains(o.stdout, "wecom:ww0123456789abcdef:"+want) {
			t.Errorf("%s: %d %s %s", name, o.code, o.stdout, o.stderr)
		}
	}
	s.refused("there is no fan", "show", "OALICE")
	s.refused("there is no fan", "block", "official_account:wx00000000000000oa:oalice")
}

func TestFansLinkOfTwoRoles(t *testing.T) {
	s := newFanStore(t)
	s.fans("role", s.alice.ID, "buyer")
	s.refused("different roles, buyer and editor", "link", s.alice.ID, s.bob.ID)
}

func TestFansLinkWithABlockedFan(t *testing.T) {
	s := newFanStore(t)
	if o := s.fans("link", s.alice.ID, s.carol.ID); !strings.Contains(o.stdout, "blocked") {
		t.Errorf("%s %s", o.stdout, o.stderr)
	}
}
