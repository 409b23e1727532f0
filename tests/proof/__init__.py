"""The proof: no invoice is taken twice, no record is lost without a name, whatever the server does and whenever the process dies."""
