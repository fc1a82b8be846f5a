package handlers

import (
	"net/http"
	"slices"

	"wxbridge/db"
	"wxbridge/templates"
)

// errNoSuchApp, errAppUnnamed and errAppKind: the link is at fault, and no other login would do better.
var errNoSuchApp = &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailAppUnknown,
	description: "There is no app of this name."}

func errAppUnnamed(provider string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailAppUnnamed,
		description: "There are several " + kindOf(provider) + "s and none of them is the default: the parameter app must name one."}
}

func errAppKind(is, needed string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_request", detail: templates.DetailAppKind,
		description: "The app of this name is a " + kindOf(is) + ", and this needs a " + kindOf(needed) + "."}
}

// kindOf is what people call the apps of a provider.
func kindOf(provider string) string {
	switch provider {
	case db.ProviderOfficialAccount:
		return "WeChat official account"
	case db.ProviderMiniProgram:
		return "mini program"
	case db.ProviderWebsite:
		return "website app"
	}
	return "WeCom app"
}

// findApp finds an app of the provider by its alias or its appid. DefaultApp means the only one, whatever its alias.
func findApp[A any](s *Server, provider string, apps []A, name string, names func(A) (alias, appID string)) (A, error) {
	for _, app := range apps {
		if alias, appID := names(app); name == alias || name == appID {
			return app, nil
		}
	}
	var none A
	switch {
	case name == DefaultApp && len(apps) == 1:
		return apps[0], nil
	case name == DefaultApp && len(apps) > 1:
		return none, errAppUnnamed(provider)
	}
	if is, found := s.providerOf(name); found && name != DefaultApp {
		return none, errAppKind(is, provider)
	}
	if len(apps) == 0 {
		return none, errNotConfigured
	}
	return none, errNoSuchApp
}

// providerOf is the kind of the app that has the alias or the appid.
func (s *Server) providerOf(name string) (provider string, found bool) {
	switch {
	case slices.ContainsFunc(s.cfg.OfficialAccounts, func(a OfficialAccount) bool { return name == a.Alias || name == a.Client.AppID() }):
		return db.ProviderOfficialAccount, true
	case slices.ContainsFunc(s.cfg.MiniPrograms, func(a MiniProgram) bool { return name == a.Alias || name == a.Client.AppID() }):
		return db.ProviderMiniProgram, true
	case slices.ContainsFunc(s.cfg.Websites, func(a Website) bool { return name == a.Alias || name == a.Client.AppID() }):
		return db.ProviderWebsite, true
	case slices.ContainsFunc(s.cfg.WeCom, func(a WeComApp) bool { return name == a.Alias || name == a.Client.CorpID() }):
		return db.ProviderWeCom, true
	}
	return "", false
}
