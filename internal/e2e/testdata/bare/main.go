// Command bare is what forward-auth is measured against: gin alone, and gin around golang-jwt alone.
//
//	/bare          answers 200 and does nothing
//	/auth/verify   checks a Bearer token with golang-jwt, as a careful user of it would, and answers 200
//
// Its arguments are an address to listen on, an issuer, the id of its key, and a file with the public key in PEM.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: bare ADDRESS ISSUER KID KEYFILE")
	}
	public, err := readKey(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/bare", func(c *gin.Context) { c.Status(http.StatusOK) })
	engine.GET("/auth/verify", verify(os.Args[2], os.Args[3], public))
	log.Fatal(http.ListenAndServe(os.Args[1], engine))
}

func readKey(name string) (crypto.PublicKey, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("the key file is not PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func verify(issuer, kid string, public crypto.PublicKey) gin.HandlerFunc {
	alg := "RS256"
	switch public.(type) {
	case *ecdsa.PublicKey:
		alg = "ES256"
	case ed25519.PublicKey:
		alg = "EdDSA"
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithIssuer(issuer), jwt.WithAudience(issuer+"/api"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	key := func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != kid || t.Header["typ"] != "at+jwt" {
			return nil, errors.New("another key or kind of token")
		}
		return public, nil
	}
	return func(c *gin.Context) {
		raw, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
		claims := jwt.MapClaims{}
		if !ok {
			c.Status(http.StatusUnauthorized)
			return
		}
		if _, err := parser.ParseWithClaims(raw, claims, key); err != nil {
			c.Status(http.StatusUnauthorized)
			return
		}
		subject, _ := claims["sub"].(string)
		c.Header("Remote-User", subject)
		c.Status(http.StatusOK)
	}
}
