package config

import "slices"

// What DESKTOP_LOGIN can be: what /login does for browsers outside WeChat and WeCom.
const (
	DesktopAuto    = "auto"    // the first of the others, in this order, that the apps are configured for
	DesktopWebsite = "website" // WeChat's own page, for a website app
	DesktopScan    = "scan"    // a code that logs the desktop in, of an official account
	DesktopQRCode  = "qrcode"  // the login address as a code, which logs the phone in
)

// desktopLogin checks the choice, and that there is an app for it. A file of apps that is at fault may have one.
func (l *loader) desktopLogin(value string, c Config) string {
	const name = "DESKTOP_LOGIN"
	lacks := func(provider string) bool { return len(c.AppsOf(provider)) == 0 && !l.has(Prefix+"APPS_FILE") }
	switch {
	case !slices.Contains([]string{DesktopAuto, DesktopWebsite, DesktopScan, DesktopQRCode}, value):
		l.fault(name, "is not auto, website, scan or qrcode")
	case value == DesktopWebsite && lacks(ProviderWebsite) && !l.has(Prefix+"WEBSITE_APP_ID"):
		l.fault(name, "is website, but no website app is configured")
	case (value == DesktopScan || value == DesktopQRCode) && lacks(ProviderOfficialAccount) && !l.has(Prefix+"OFFICIAL_APP_ID"):
		l.fault(name, "is "+value+", but no official account is configured")
	}
	return value
}
