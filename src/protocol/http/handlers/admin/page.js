page {token}
