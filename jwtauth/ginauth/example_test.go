package ginauth_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/jwtauth"
	"wxbridge/jwtauth/ginauth"
)

// needRole comes after Require or Gate: those say who it is, this what they may do.
func needRole(role string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if fan, ok := ginauth.Claims(c); !ok || fan.Role != role {
			c.AbortWithStatusJSON(http.StatusForbidden, gin.H{"error": "access_denied"})
		}
	}
}

// Routes for everybody who is logged in, by Bearer token or by the cookie of an H5 page, and routes for one role.
// The keys and tokens are the test's own; a service takes its keys from a [jwtauth.RemoteKeySet].
func Example() {
	const bridge = "https://login.example.com"
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwtauth.NewKeySet(key)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridge, Audience: bridge + "/api"})
	if err != nil {
		log.Fatal(err)
	}

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	api := router.Group("/api", ginauth.Gate(jwtauth.Gate{Verifier: verifier, CookieNames: []string{"__Host-wxbridge_token"}}))
	api.GET("/orders", func(c *gin.Context) {
		fan, _ := ginauth.Claims(c)
		c.String(http.StatusOK, "orders of %s", fan.Subject)
	})
	api.GET("/reports", needRole("staff"), func(c *gin.Context) { c.String(http.StatusOK, "reports") })

	issuer, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: bridge, Audience: bridge + "/api", ClientID: "wxbridge", TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	get := func(path, role string) {
		token, _, err := issuer.AccessToken(jwtauth.Claims{
			Subject: "fan-1", SessionID: "session-1", AuthTime: time.Now(), Role: role,
			Provider: "official_account", AppID: "wx1234567890abcdef", OpenID: "oAbC",
		})
		if err != nil {
			log.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.AddCookie(&http.Cookie{Name: "__Host-wxbridge_token", Value: token})
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	get("/api/orders", "")
	get("/api/reports", "")
	get("/api/reports", "staff")
	// Output:
	// 200 orders of fan-1
	// 403 {"error":"access_denied"}
	// 200 reports
}
