// Package ginauth is jwtauth's middleware for gin: [Require] for Bearer tokens,
// [Gate] for cookies and answers of your own, [Claims] for who it is. Use it on
// a group, so that a route added later is behind it too. What a token must be is
// said in jwtauth.
package ginauth

import (
	"github.com/gin-gonic/gin"

	"wxbridge/jwtauth"
)

// Require lets requests with a good Bearer token through and answers the others
// as [jwtauth.WriteError] does.
func Require(v *jwtauth.Verifier) gin.HandlerFunc {
	return Gate(jwtauth.Gate{Verifier: v})
}

// Gate is [Require] with cookies or answers of your own, see [jwtauth.Gate].
func Gate(g jwtauth.Gate) gin.HandlerFunc {
	return func(c *gin.Context) {
		claims, err := g.Authenticate(c.Request)
		if err != nil {
			g.Refuse(c.Writer, c.Request, err)
			c.Abort()
			return
		}
		c.Request = c.Request.WithContext(jwtauth.NewContext(c.Request.Context(), claims))
		c.Next()
	}
}

// Claims returns the claims that [Require] found; false where it did not run.
func Claims(c *gin.Context) (jwtauth.Claims, bool) {
	return jwtauth.FromContext(c.Request.Context())
}
