// Package e2e proves the whole product from outside. It holds tests only: each starts the real commands in this
// process or as a child, and talks to them over HTTP the way a phone, a mini program or an attacker would.
//
// The tests know the product's published behaviour, its WeChat simulator's control routes, and nothing else. Longer
// loops of the same tests run under WXBRIDGE_TEST_SOAK=1. WXBRIDGE_TEST_REQUIRE=chromium,nginx,caddy (or all) turns the
// skip of the tests that need them into a failure, and WXBRIDGE_TEST_SCREENSHOTS names a folder that keeps what the
// browser saw. Traefik, which no Debian package has, is tested where it is in PATH or WXBRIDGE_TEST_TRAEFIK names it;
// .ci/traefik builds it from its Go module and does that.
package e2e
