package config

import (
	"log/slog"
	"net/url"
	"strings"
)

// LogValue implements slog.LogValuer: every setting under its variable's name, secrets as *** (KEY-07).
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(c.attrs()...)
}

// String lists every setting as NAME=value, secrets as ***.
func (c Config) String() string {
	attrs := c.attrs()
	pairs := make([]string, len(attrs))
	for i, a := range attrs {
		pairs[i] = a.Key + "=" + a.Value.Resolve().String()
	}
	return strings.Join(pairs, " ")
}

// GoString implements fmt.GoStringer, so that %#v keeps secrets too.
func (c Config) GoString() string { return "config.Config{" + c.String() + "}" }

func (c Config) attrs() []slog.Attr {
	text := func(name, value string) slog.Attr { return slog.String(Prefix+name, value) }
	secret := func(name string, s Secret) slog.Attr {
		if s == "" {
			return text(name, "")
		}
		return slog.Any(Prefix+name, s)
	}
	return []slog.Attr{
		text("PUBLIC_URL", urlText(c.PublicURL)),
		text("LISTEN", c.Listen),
		text("DATABASE", c.Database),
		secret("SECRET", c.Secret),
		secret("SECRET_PREVIOUS", c.SecretPrevious),
		text("RETURN_ORIGINS", strings.Join(c.ReturnOrigins, ",")),
		text("DEFAULT_RETURN_TO", c.DefaultReturnTo),
		text("COOKIE_DOMAIN", c.CookieDomain),
		text("TRUSTED_PROXIES", strings.Join(c.TrustedProxies, ",")),
		text("DOMAIN_FILES", c.DomainFiles),
		text("PROFILE_POLICY", c.ProfilePolicy.String()),
		text("DESKTOP_LOGIN", c.DesktopLogin),
		text("PRIVACY_URL", c.PrivacyURL),
		text("TERMS_URL", c.TermsURL),
		text("SESSION_TTL", short(c.SessionTTL)),
		text("OFFICIAL_APP_ID", c.Official.ID),
		secret("OFFICIAL_APP_SECRET", c.Official.Secret),
		secret("OFFICIAL_TOKEN", c.Official.Token),
		secret("OFFICIAL_ENCODING_AES_KEY", c.Official.EncodingAESKey),
		slog.Bool(Prefix+"OFFICIAL_CONNECT_REDIRECT", c.Official.ConnectRedirect),
		slog.Bool(Prefix+"OFFICIAL_FORCE_POPUP", c.Official.ForcePopup),
		text("MINIPROGRAM_APP_ID", c.MiniProgram.ID),
		secret("MINIPROGRAM_APP_SECRET", c.MiniProgram.Secret),
		slog.Bool(Prefix+"MINIPROGRAM_CHECK_NICKNAME", c.CheckNickname),
		text("WEBSITE_APP_ID", c.Website.ID),
		secret("WEBSITE_APP_SECRET", c.Website.Secret),
		text("WECOM_CORP_ID", c.WeCom.ID),
		text("WECOM_AGENT_ID", agentText(c.WeCom.AgentID)),
		secret("WECOM_SECRET", c.WeCom.Secret),
		secret("WECOM_TOKEN", c.WeCom.Token),
		secret("WECOM_ENCODING_AES_KEY", c.WeCom.EncodingAESKey),
		slog.Bool(Prefix+"WECOM_PRIVATE", c.WeCom.Private),
		slog.Bool(Prefix+"WECOM_GUESTS", c.WeCom.Guests),
		text("APPS_FILE", c.AppsFile),
		text("JWT_TTL", short(c.JWTTTL)),
		text("JWT_AUDIENCE", c.JWTAudience),
		text("JWKS_MAX_AGE", short(c.JWKSMaxAge)),
		text("JWT_ALG", c.JWTAlg),
		secret("JWT_HS256_SECRET", c.JWTHS256Secret),
		text("KEY_MAX_AGE", short(c.KeyMaxAge)),
		slog.Int(Prefix+"RATE_LIMIT", c.RateLimit),
		text("METRICS_LISTEN", c.MetricsListen),
		text("CLIENTS_FILE", c.ClientsFile),
		text("EVENT_WEBHOOKS", c.EventWebhooks),
		text("WECHAT_API_URL", urlText(c.WeChatAPIURL)),
		text("WECHAT_OPEN_URL", urlText(c.WeChatOpenURL)),
		text("WECHAT_MP_URL", urlText(c.WeChatMPURL)),
		text("WECOM_API_URL", urlText(c.WeComAPIURL)),
		text("WECOM_LOGIN_URL", urlText(c.WeComLoginURL)),
	}
}

// String is the policy as its variable spells it.
func (p ProfilePolicy) String() string {
	switch {
	case p.Never:
		return "never"
	case p.MaxAge > 0:
		return short(p.MaxAge)
	default:
		return "unknown"
	}
}

func urlText(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}
