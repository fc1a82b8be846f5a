//go:build !race

package handlers_test

// herd is how many first logins come at once.
const herd = 500
