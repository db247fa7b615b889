// Serves two hosts on one address: TLS by server name, and HTTP in clear text. Arguments: the address, the ports for
// TLS and HTTP, and two certificates with their keys.
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	var certificates []tls.Certificate
	for at := 4; at+1 < len(os.Args); at += 2 {
		one, err := tls.LoadX509KeyPair(os.Args[at], os.Args[at+1])
		if err != nil {
			log.Fatal(err)
		}
		certificates = append(certificates, one)
	}
	handler := http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "served %s %s\n", request.Host, request.URL.Path)
	})
	secure := &http.Server{Addr: os.Args[1] + ":" + os.Args[2], Handler: handler, TLSConfig: &tls.Config{Certificates: certificates}}
	go func() { log.Fatal(secure.ListenAndServeTLS("", "")) }()
	log.Fatal(http.ListenAndServe(os.Args[1]+":"+os.Args[3], handler))
}
