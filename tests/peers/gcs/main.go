// A store that speaks Google's XML API: what it says otherwise than Amazon's is put into the other words
// here, and an S3 server does the rest.
//
//	gcs FOLDER ADDRESS BUCKET SERVER
//
// SERVER is versitygw's program. The bucket is made, and two service accounts, `account.json` and
// `stranger.json`: the first one may do all. Nobody is asked who he is if GCS_OPEN is set. `ready` is said when
// requests are taken.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	region       = "us-east-1"
	unsigned     = "UNSIGNED-PAYLOAD"
	startLimit   = 20 * time.Second
	notFirst     = "X-Goog-If-Generation-Match"
	generation   = "X-Goog-Generation"
	unauthorized = "<Error><Code>AuthenticationRequired</Code><Message>Authentication required.</Message></Error>"
	unsupported  = "<Error><Code>NotImplemented</Code><Message>A precondition of an upload in parts.</Message></Error>"
)

// Starts the S3 server with keys that nobody else knows; it ends with this process.
func serve(folder, bucket, server string) (string, aws.Credentials, error) {
	secret := make([]byte, 16)
	rand.Read(secret)
	keys := aws.Credentials{AccessKeyID: "gcs", SecretAccessKey: hex.EncodeToString(secret)}
	data, meta := filepath.Join(folder, "data"), filepath.Join(folder, "meta")
	for _, made := range []string{filepath.Join(data, bucket), meta} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return "", keys, err
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", keys, err
	}
	address := free.Addr().String()
	free.Close()
	command := exec.Command(server, "--port", address, "--region", region, "posix", "--sidecar", meta, data)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+keys.AccessKeyID, "ROOT_SECRET_KEY="+keys.SecretAccessKey)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// The signal comes when the thread ends that has started it, so that one stays.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return "", keys, err
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if answers, err := net.Dial("tcp", address); err == nil {
			return address, keys, answers.Close()
		} else if time.Since(begun) > startLimit {
			return "", keys, err
		}
	}
}

// A path as Amazon signs it; Google's clients escape what stands between folders as well.
func escaped(path string) string {
	var text strings.Builder
	for _, c := range []byte(path) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			text.WriteByte(c)
		} else {
			fmt.Fprintf(&text, "%%%02X", c)
		}
	}
	return text.String()
}

func refuse(to http.ResponseWriter, status int, text string) {
	to.Header().Set("Content-Type", "application/xml")
	to.WriteHeader(status)
	fmt.Fprint(to, text)
}

// What Google says and what Amazon says.
func translate(proxy http.Handler, isKnown func(string) bool) http.HandlerFunc {
	return func(to http.ResponseWriter, request *http.Request) {
		if !isKnown(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")) {
			refuse(to, http.StatusUnauthorized, unauthorized)
			return
		}
		query := request.URL.Query()
		if match := request.Header.Get(notFirst); match != "" {
			// Google knows none for these, and here no other is needed.
			if match != "0" || query.Has("uploads") || query.Has("uploadId") {
				refuse(to, http.StatusBadRequest, unsupported)
				return
			}
			request.Header.Set("If-None-Match", "*")
		}
		proxy.ServeHTTP(to, request)
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("gcs FOLDER ADDRESS BUCKET SERVER")
	}
	folder, listens, bucket, server := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	address, keys, err := serve(folder, bucket, server)
	if err != nil {
		log.Fatal(err)
	}
	signer := v4.NewSigner(func(options *v4.SignerOptions) { options.DisableURIPathEscaping = true })
	proxy := &httputil.ReverseProxy{
		Rewrite: func(asked *httputil.ProxyRequest) {
			asked.SetURL(&url.URL{Scheme: "http", Host: address})
			asked.Out.URL.RawPath = escaped(asked.Out.URL.Path)
			for name := range asked.Out.Header {
				if name == "Authorization" || strings.HasPrefix(name, "X-Goog-") {
					asked.Out.Header.Del(name)
				}
			}
			asked.Out.Header.Set("X-Amz-Content-Sha256", unsigned)
			err := signer.SignHTTP(asked.Out.Context(), keys, asked.Out, unsigned, "s3", region, time.Now())
			if err != nil {
				log.Print(err)
			}
		},
		ModifyResponse: func(answer *http.Response) error {
			for name := range answer.Header {
				if strings.HasPrefix(name, "X-Amz-") {
					answer.Header.Del(name)
				}
			}
			answer.Header.Set(generation, "1")
			return nil
		},
	}
	listener, err := net.Listen("tcp", listens)
	if err != nil {
		log.Fatal(err)
	}
	key, err := known(filepath.Join(folder, "account.json"), "http://"+listens)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := known(filepath.Join(folder, "stranger.json"), "http://"+listens); err != nil {
		log.Fatal(err)
	}
	isKnown := func(token string) bool { return os.Getenv("GCS_OPEN") != "" || may(key, token) }
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, translate(proxy, isKnown)))
}
