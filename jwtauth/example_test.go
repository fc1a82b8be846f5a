package jwtauth_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-gonic/gin"

	"wxbridge/jwtauth"
	"wxbridge/jwtauth/ginauth"
)

// What a service must know about the bridge. In production bridgeURL is the
// bridge's public URL, such as https://login.example.com.
const (
	bridgeURL   = "http://127.0.0.1:8080"
	apiAudience = bridgeURL + "/api" // WXBRIDGE_JWT_AUDIENCE of the bridge
)

// newAPI is a service whose routes need a token of the bridge. The verifier
// checks the signature and its algorithm, typ, iss, aud and exp.
func newAPI(keys jwtauth.KeySource) (http.Handler, error) {
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridgeURL, Audience: apiAudience})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		fan, _ := jwtauth.FromContext(r.Context())
		fmt.Fprintf(w, "orders of %s\n", fan.Subject)
	})
	return verifier.Middleware(mux), nil
}

// A net/http service that takes the bridge's public keys from its JWK Set.
func Example() {
	jwksURL, token := exampleBridge() // in production: bridgeURL + "/.well-known/jwks.json"

	keys, err := jwtauth.NewRemoteKeySet(jwksURL, jwtauth.RemoteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	api, err := newAPI(keys)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(api) // in production: http.ListenAndServe
	defer server.Close()

	fmt.Print(get(server.URL+"/orders", token))
	fmt.Print(get(server.URL+"/orders", ""))
	// Output:
	// 200 orders of fan-1
	// 401 {"error":"invalid_token","error_description":"The access token is missing, expired, revoked or not valid."}
}

// The same with gin.
func Example_gin() {
	jwksURL, token := exampleBridge()

	keys, err := jwtauth.NewRemoteKeySet(jwksURL, jwtauth.RemoteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridgeURL, Audience: apiAudience})
	if err != nil {
		log.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/orders", ginauth.Require(verifier), func(c *gin.Context) {
		fan, _ := ginauth.Claims(c)
		c.String(http.StatusOK, "orders of %s\n", fan.Subject)
	})
	server := httptest.NewServer(router)
	defer server.Close()

	fmt.Print(get(server.URL+"/orders", token))
	// Output: 200 orders of fan-1
}

// A token can be checked without any middleware, here by the bridge itself.
func ExampleVerifier_Verify() {
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwtauth.NewKeySet(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: bridgeURL, Audience: apiAudience, ClientID: "wxbridge", TTL: 2 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	raw, _, err := issuer.AccessToken(exampleLogin())
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridgeURL, Audience: apiAudience})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := verifier.Verify(context.Background(), raw)
	fmt.Println(claims.Subject, claims.Provider, err)
	_, err = verifier.Verify(context.Background(), raw+"x")
	fmt.Println(err)
	// Output:
	// fan-1 official_account <nil>
	// jwtauth: token is not valid: segment is not base64url
}

func exampleLogin() jwtauth.Claims {
	return jwtauth.Claims{
		Subject: "fan-1", SessionID: "session-1", AuthTime: time.Now(),
		Provider: "official_account", AppID: "wx1234567890abcdef", OpenID: "oAbC",
	}
}

// exampleBridge stands for a running bridge; it gives its JWK Set's address and
// a token of a fan.
func exampleBridge() (jwksURL, token string) {
	key, err := jwtauth.GenerateKey(jwtauth.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwtauth.NewKeySet(key)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := jwtauth.NewIssuer(keys, jwtauth.IssuerConfig{Issuer: bridgeURL, Audience: apiAudience, ClientID: "wxbridge", TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	token, _, err = issuer.AccessToken(exampleLogin())
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = w.Write(keys.JWKS())
	}))
	return server.URL + "/.well-known/jwks.json", token
}

// get answers status and body of a request with a Bearer token.
func get(url, token string) string {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}
