package jwtauth_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"wxbridge/jwtauth"
)

// grpcGate checks the token of a call: one "authorization" value of its metadata.
type grpcGate struct{ verifier *jwtauth.Verifier }

func (g grpcGate) authenticate(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	raw, err := jwtauth.TokenFromAuthorization(md.Get("authorization"))
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "a valid access token is required")
	}
	claims, err := g.verifier.Verify(ctx, raw)
	switch {
	case errors.Is(err, jwtauth.ErrUnavailable):
		return nil, status.Error(codes.Unavailable, "the access token cannot be checked at the moment")
	case err != nil:
		return nil, status.Error(codes.Unauthenticated, "a valid access token is required")
	}
	return jwtauth.NewContext(ctx, claims), nil
}

func (g grpcGate) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := g.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// stream is as needed as unary: each kind of call passes its own interceptor only.
func (g grpcGate) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := g.authenticate(s.Context())
	if err != nil {
		return err
	}
	return next(srv, streamWithContext{s, ctx})
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamWithContext) Context() context.Context { return s.ctx }

// greeter stands for your service.
type greeter struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (greeter) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	fan, ok := jwtauth.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "a call came past the interceptor")
	}
	fmt.Println("called by", fan.Subject)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

// A gRPC service whose calls, unary and streaming, need a token in their metadata.
func Example_gRPC() {
	jwksURL, token := exampleBridge() // in production: bridgeURL + "/.well-known/jwks.json"

	keys, err := jwtauth.NewRemoteKeySet(jwksURL, jwtauth.RemoteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwtauth.NewVerifier(keys, jwtauth.Config{Issuer: bridgeURL, Audience: apiAudience})
	if err != nil {
		log.Fatal(err)
	}
	gate := grpcGate{verifier}
	server := grpc.NewServer(grpc.UnaryInterceptor(gate.unary), grpc.StreamInterceptor(gate.stream))
	grpc_health_v1.RegisterHealthServer(server, greeter{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	// In production the client's connection is TLS: a Bearer token is as good as a password.
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	call := func(authorization ...string) {
		ctx := context.Background()
		for _, value := range authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
		}
		_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		fmt.Println(status.Code(err))
	}
	call("Bearer " + token)
	call()
	call("Bearer "+token, "Bearer "+token)
	stream, err := client.Watch(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = stream.Recv()
	fmt.Println("a stream without a token:", status.Code(err))
	// Output:
	// called by fan-1
	// OK
	// Unauthenticated
	// Unauthenticated
	// a stream without a token: Unauthenticated
}
