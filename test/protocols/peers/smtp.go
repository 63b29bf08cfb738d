package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/smtp"
	"net/textproto"
	"time"

	server "github.com/emersion/go-smtp"
)

// mailbox takes what is for anybody but nobody.
type mailbox struct{}

func (mailbox) NewSession(*server.Conn) (server.Session, error) { return mailbox{}, nil }
func (mailbox) Mail(string, *server.MailOptions) error          { return nil }
func (mailbox) Reset()                                          {}
func (mailbox) Logout() error                                   { return nil }

func (mailbox) Rcpt(to string, _ *server.RcptOptions) error {
	if to == "nobody@example.test" {
		return &server.SMTPError{Code: 550, EnhancedCode: server.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	return nil
}

func (mailbox) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// smtpServer offers STARTTLS.
func smtpServer() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.test"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := server.NewServer(mailbox{})
	s.Domain = "mail.example.test"
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
	go s.Serve(l)
	return l.Addr().String(), nil
}

// smtpClient sends n mails in clear text, every tenth to nobody, and then as many
// behind STARTTLS, each on a connection of its own.
func smtpClient(_ context.Context, addr string, n int) (counts, error) {
	out := counts{}
	send := func(c *smtp.Client, i int) error {
		if err := c.Mail("me@example.test"); err != nil {
			return err
		}
		to := "you@example.test"
		if i%10 == 0 {
			to = "nobody@example.test"
		}
		var refused *textproto.Error
		switch err := c.Rcpt(to); {
		case errors.As(err, &refused) && i%10 == 0:
			out["rcpt failed"]++
			return c.Reset()
		case err != nil:
			return err
		}
		out["rcpt"]++
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "Subject: mail %d\r\n\r\nhello\r\n", i); err != nil {
			return err
		}
		return w.Close()
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := send(c, i); err != nil {
			return nil, err
		}
		out["mail"]++
	}
	if err := c.Quit(); err != nil {
		return nil, err
	}
	for i := 1; i <= n/10; i++ {
		c, err := smtp.Dial(addr)
		if err != nil {
			return nil, err
		}
		if err := c.StartTLS(&tls.Config{ServerName: "mail.example.test", InsecureSkipVerify: true}); err != nil {
			return nil, err
		}
		out["starttls"]++
		count := out["rcpt"]
		if err := send(c, 1); err != nil {
			return nil, err
		}
		out["rcpt"] = count // nobody can see it
		if err := c.Quit(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
