/// Real database servers for tests.
package enum TestServersPlaceholder {}
