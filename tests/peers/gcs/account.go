package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const email = "freshet@trial.iam.gserviceaccount.com"

// A service account as its file has it.
type account struct {
	Kind    string `json:"type"`
	Email   string `json:"client_email"`
	KeyID   string `json:"private_key_id"`
	Private string `json:"private_key"`
	Server  string `json:"gcs_base_url"`
}

// What a client says of itself and signs.
type claims struct {
	Issuer  string `json:"iss"`
	Scope   string `json:"scope"`
	Expires int64  `json:"exp"`
}

// Reads the service account's file, or makes it, of a server at this URL.
func known(file, server string) (*rsa.PublicKey, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text, err = create(file, server)
	}
	var read account
	if err = errors.Join(err, json.Unmarshal(text, &read)); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(read.Private))
	if block == nil {
		return nil, errors.New(file + " has no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, isRSA := key.(*rsa.PrivateKey)
	if !isRSA {
		return nil, errors.New(file + " has a key of another kind")
	}
	return &private.PublicKey, nil
}

func create(file, server string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
	id := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	text, err := json.Marshal(account{"service_account", email, id, string(private), server})
	if err != nil {
		return nil, err
	}
	return text, os.WriteFile(file, text, 0o600)
}

// Whether a token is signed by the account's key, for storage, and still good.
func may(key *rsa.PublicKey, token string) bool {
	signed, signature, isOne := cutLast(token, ".")
	_, said, hasBody := strings.Cut(signed, ".")
	decode := base64.RawURLEncoding.DecodeString
	sum := sha256.Sum256([]byte(signed))
	seal, err := decode(signature)
	body, worse := decode(said)
	if !isOne || !hasBody || err != nil || worse != nil {
		return false
	}
	var read claims
	if json.Unmarshal(body, &read) != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], seal) != nil {
		return false
	}
	return read.Issuer == email && read.Scope != "" && time.Now().Unix() < read.Expires
}

func cutLast(text, by string) (string, string, bool) {
	at := strings.LastIndex(text, by)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(by):], true
}
