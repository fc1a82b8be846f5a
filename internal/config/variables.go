package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// variables is the one list of settings, in the order in which faults are told. The tags give the name without
// Prefix, the default, and an example for fault lines; `file:"yes"` marks a secret, which may come from a file named
// by the variable's …_FILE twin instead.
type variables struct {
	PublicURL       string `env:"PUBLIC_URL,required" example:"https://login.example.com"`
	Listen          string `env:"LISTEN" envDefault:"127.0.0.1:8080" example:"127.0.0.1:8080"`
	Database        string `env:"DATABASE" envDefault:"sqlite://wxbridge.db" example:"sqlite:///var/lib/wxbridge/wxbridge.db"`
	Secret          string `env:"SECRET,required" file:"yes" example:"<output of: openssl rand -base64 32>"`
	SecretPrevious  string `env:"SECRET_PREVIOUS" file:"yes" example:"<the secret that WXBRIDGE_SECRET was before>"`
	ReturnOrigins   string `env:"RETURN_ORIGINS" example:"https://h5.example.com,https://shop.example.com:8443"`
	DefaultReturnTo string `env:"DEFAULT_RETURN_TO" envDefault:"/" example:"https://h5.example.com/home"`
	CookieDomain    string `env:"COOKIE_DOMAIN" example:"example.com"`
	TrustedProxies  string `env:"TRUSTED_PROXIES" example:"127.0.0.1,10.0.0.0/8"`
	DomainFiles     string `env:"DOMAIN_FILES" example:"/etc/wxbridge/domain-files"`

	ProfilePolicy string        `env:"PROFILE_POLICY" envDefault:"unknown" example:"480h"`
	DesktopLogin  string        `env:"DESKTOP_LOGIN" envDefault:"auto" example:"scan"`
	PrivacyURL    string        `env:"PRIVACY_URL" example:"https://www.example.com/privacy"`
	TermsURL      string        `env:"TERMS_URL" example:"https://www.example.com/terms"`
	SessionTTL    time.Duration `env:"SESSION_TTL" envDefault:"720h" example:"720h"`

	OfficialAppID           string `env:"OFFICIAL_APP_ID" example:"wx0123456789abcdef"`
	OfficialAppSecret       string `env:"OFFICIAL_APP_SECRET" file:"yes" example:"<AppSecret of the official account>"`
	OfficialToken           string `env:"OFFICIAL_TOKEN" file:"yes" example:"<output of: openssl rand -hex 16>"`
	OfficialEncodingAESKey  string `env:"OFFICIAL_ENCODING_AES_KEY" file:"yes" example:"<43 letters and digits, made by WeChat's console>"`
	OfficialConnectRedirect bool   `env:"OFFICIAL_CONNECT_REDIRECT" envDefault:"false" example:"true"`
	OfficialForcePopup      bool   `env:"OFFICIAL_FORCE_POPUP" envDefault:"false" example:"true"`
	MiniProgramAppID        string `env:"MINIPROGRAM_APP_ID" example:"wxfedcba9876543210"`
	MiniProgramAppSecret    string `env:"MINIPROGRAM_APP_SECRET" file:"yes" example:"<AppSecret of the mini program>"`
	MiniProgramCheckNick    bool   `env:"MINIPROGRAM_CHECK_NICKNAME" envDefault:"false" example:"true"`
	WebsiteAppID            string `env:"WEBSITE_APP_ID" example:"wx89abcdef01234567"`
	WebsiteAppSecret        string `env:"WEBSITE_APP_SECRET" file:"yes" example:"<AppSecret of the website app>"`
	AppsFile                string `env:"APPS_FILE" example:"/etc/wxbridge/apps.yaml"`

	WeComCorpID         string `env:"WECOM_CORP_ID" example:"ww0123456789abcdef"`
	WeComAgentID        string `env:"WECOM_AGENT_ID" example:"1000002"`
	WeComSecret         string `env:"WECOM_SECRET" file:"yes" example:"<Secret of the app in WeCom's console>"`
	WeComToken          string `env:"WECOM_TOKEN" file:"yes" example:"<output of: openssl rand -hex 16>"`
	WeComEncodingAESKey string `env:"WECOM_ENCODING_AES_KEY" file:"yes" example:"<43 letters and digits, made by WeCom's console>"`
	WeComPrivate        bool   `env:"WECOM_PRIVATE" envDefault:"false" example:"true"`
	WeComGuests         bool   `env:"WECOM_GUESTS" envDefault:"false" example:"true"`

	JWTTTL         time.Duration `env:"JWT_TTL" envDefault:"2h" example:"2h"`
	JWTAudience    string        `env:"JWT_AUDIENCE" example:"https://api.example.com"`
	JWKSMaxAge     time.Duration `env:"JWKS_MAX_AGE" envDefault:"10m" example:"10m"`
	JWTAlg         string        `env:"JWT_ALG" envDefault:"ES256" example:"EdDSA"`
	JWTHS256Secret string        `env:"JWT_HS256_SECRET" file:"yes" example:"<output of: openssl rand -base64 32>"`
	KeyMaxAge      time.Duration `env:"KEY_MAX_AGE" envDefault:"2160h" example:"2160h"`

	RateLimit     int    `env:"RATE_LIMIT" envDefault:"600" example:"600"`
	MetricsListen string `env:"METRICS_LISTEN" example:"127.0.0.1:9090"`

	ClientsFile   string `env:"CLIENTS_FILE" example:"/etc/wxbridge/clients.yaml"`
	EventWebhooks string `env:"EVENT_WEBHOOKS" example:"/etc/wxbridge/webhooks.yaml"`

	WeChatAPIURL  string `env:"WECHAT_API_URL" envDefault:"https://api.weixin.qq.com" example:"https://api.weixin.qq.com"`
	WeChatOpenURL string `env:"WECHAT_OPEN_URL" envDefault:"https://open.weixin.qq.com" example:"https://open.weixin.qq.com"`
	WeChatMPURL   string `env:"WECHAT_MP_URL" envDefault:"https://mp.weixin.qq.com" example:"https://mp.weixin.qq.com"`

	WeComAPIURL   string `env:"WECOM_API_URL" envDefault:"https://qyapi.weixin.qq.com" example:"https://qyapi.weixin.qq.com"`
	WeComLoginURL string `env:"WECOM_LOGIN_URL" envDefault:"https://login.work.weixin.qq.com" example:"https://login.work.weixin.qq.com"`
}

// Variable describes one setting.
type Variable struct {
	Name    string // with Prefix
	Default string // "" has none
	Example string
	Secret  bool // may come from a file named by Name + "_FILE"
}

// Variables lists every setting.
func Variables() []Variable {
	t := reflect.TypeFor[variables]()
	list := make([]Variable, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("env"), ",")
		list = append(list, Variable{
			Name:    Prefix + name,
			Default: tag.Get("envDefault"),
			Example: tag.Get("example"),
			Secret:  tag.Get("file") != "",
		})
	}
	return list
}

// parse lets the env library fill the struct, and turns its faults, which name Go fields, into ours.
func (l *loader) parse(settings map[string]string) variables {
	var v variables
	err := env.ParseWithOptions(&v, env.Options{Environment: settings, Prefix: Prefix})
	var all env.AggregateError
	if err != nil && !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	for _, err := range all.Errors {
		var unset env.VarIsNotSetError
		var wrong env.ParseError
		switch {
		case errors.As(err, &unset):
			if !l.has(unset.Key) { // its file may have been at fault already
				l.fault(strings.TrimPrefix(unset.Key, Prefix), missing(unset.Key))
			}
		case errors.As(err, &wrong):
			field, _ := reflect.TypeFor[variables]().FieldByName(wrong.Name)
			l.fault(field.Tag.Get("env"), "is not "+kindOf(field.Type))
		default: // a fault in our own tags
			l.faults = append(l.faults, Fault{Variable: Prefix + "*", Problem: "cannot be read: " + err.Error()})
		}
	}
	return v
}

func missing(variable string) string {
	if variable == Prefix+"SECRET" {
		return "is not set; make one with `openssl rand -base64 32`, keep it, and give it here or as a file in " + variable + "_FILE"
	}
	return "is not set"
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 10m or 2h"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[int]():
		return "a whole number"
	default:
		return "a " + t.String()
	}
}

// resolve picks our variables out of environ, puts the content of files in the place of …_FILE, and faults names that
// mean nothing. An empty variable counts as not set.
func (l *loader) resolve(environ map[string]string, readFile func(string) ([]byte, error)) (settings map[string]string, files []string) {
	settings = map[string]string{}
	known := map[string]bool{}
	for _, v := range Variables() {
		known[v.Name] = true
		if value := environ[v.Name]; value != "" {
			settings[v.Name] = value
		}
		if !v.Secret {
			continue
		}
		twin := v.Name + "_FILE"
		known[twin] = true
		if environ[twin] != "" {
			files = append(files, environ[twin])
			l.secretFile(settings, v, environ[twin], readFile)
		}
	}
	var unknown []string
	for name := range environ {
		if strings.HasPrefix(name, Prefix) && !strings.HasPrefix(name, Prefix+"TEST_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		l.faults = append(l.faults, unknownVariable(name))
	}
	return settings, files
}

// secretFile reads a secret from its file. What editors and echo put at the end of a file is no part of it.
func (l *loader) secretFile(settings map[string]string, v Variable, path string, readFile func(string) ([]byte, error)) {
	fault := func(problem string) {
		l.faults = append(l.faults, Fault{
			Variable: v.Name + "_FILE",
			Problem:  problem,
			Example:  "/run/secrets/" + strings.ToLower(strings.TrimPrefix(v.Name, Prefix)),
		})
	}
	if settings[v.Name] != "" {
		fault("is set together with " + v.Name + "; keep one of them")
		return
	}
	content, err := readFile(path)
	if err != nil {
		fault("names a file that cannot be read (" + reason(err) + ")")
		return
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		fault("names an empty file")
		return
	}
	settings[v.Name] = secret
}

func unknownVariable(name string) Fault {
	f := Fault{Variable: name, Problem: "is not a setting of wxbridge"}
	for _, v := range Variables() {
		if name == v.Name+"_FILE" {
			f.Problem += "; only secrets may come from a file"
			f.Example = v.Name + "=" + v.Example
			return f
		}
	}
	if near, ok := nearest(name); ok {
		f.Problem += fmt.Sprintf("; did you mean %s?", near.Name)
		f.Example = near.Name + "=" + near.Example
		return f
	}
	f.Problem += "; remove it (the README lists them all)"
	return f
}

// nearest finds the variable a misspelt name most likely means.
func nearest(name string) (Variable, bool) {
	name = strings.ToUpper(strings.TrimPrefix(name, Prefix))
	if len(name) > 64 {
		return Variable{}, false
	}
	best, distance := Variable{}, 1+max(2, len(name)/3)
	for _, v := range Variables() {
		candidates := []Variable{v}
		if v.Secret {
			candidates = append(candidates, Variable{Name: v.Name + "_FILE", Example: "/run/secrets/wxbridge"})
		}
		for _, c := range candidates {
			if d := edits(name, strings.TrimPrefix(c.Name, Prefix)); d < distance {
				best, distance = c, d
			}
		}
	}
	return best, best.Name != ""
}

// edits is the Levenshtein distance: how many bytes to insert, remove or replace to turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
