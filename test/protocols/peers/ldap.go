package main

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// ldapClient adds people under a base, looks for them, of whom every tenth is not
// there, and deletes them again.
func ldapClient(_ context.Context, addr string, n int) (counts, error) {
	const base = "dc=shop,dc=test"
	out := counts{}
	c, err := ldap.DialURL("ldap://" + addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Bind("cn=admin,"+base, "wrong"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		return nil, fmt.Errorf("a wrong password: %w", err)
	}
	out["bind failed"]++
	if err := c.Bind("cn=admin,"+base, "secret"); err != nil {
		return nil, err
	}
	out["bind"]++
	add := func(dn string, attrs map[string][]string) error {
		r := ldap.NewAddRequest(dn, nil)
		for k, v := range attrs {
			r.Attribute(k, v)
		}
		out["add"]++
		return c.Add(r)
	}
	if err := add(base, map[string][]string{"objectClass": {"dcObject", "organization"}, "o": {"shop"}}); err != nil {
		return nil, err
	}
	for i := range n {
		dn := fmt.Sprintf("cn=p%d,%s", i, base)
		if err := add(dn, map[string][]string{"objectClass": {"person"}, "sn": {"secret"}}); err != nil {
			return nil, err
		}
		look := dn
		if i%10 == 0 {
			look = "cn=missing," + base
		}
		r, err := c.Search(ldap.NewSearchRequest(look, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) || err == nil && len(r.Entries) != 1 {
			return nil, err
		}
		out.add("search", err)
		if err := c.Del(ldap.NewDelRequest(dn, nil)); err != nil {
			return nil, err
		}
		out["delete"]++
	}
	return out, c.Unbind()
}
