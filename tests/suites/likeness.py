"""Values that look personal, by what they look like, and values that do not; made up, all of them."""

from __future__ import annotations

# Of crypt, its relatives, and what writes of them: the hash of a password.
PASSWORDS = (
    "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "$2y$10$abcdefghijklmnopqrstuuJm2Fq0Zb7a1B2c3D4e5F6g7H8i9J0kL",
    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
    "argon2$argon2i$v=19$m=512,t=2,p=2$c29tZXNhbHQ$SqlVijFGiPG+935vDSGEsA",
    "$s0$e0801$epIxT/h6HbbwHaehFnh/bw==$7H0vsXlY8UxxyW/BWx/9GuY7jEvGjT71GFd6O4SZND0=",
    "scrypt:32768:8:1$c3Ryb25n$6e6f7420612072656c206861736820617420616c6c",
    "pbkdf2_sha256$600000$c2FsdHNhbHQ$Pv6C1lFkMFQ2mSzYfVbVqEBeiFYqO0PZ6kQ2kq0tKkE=",
    "pbkdf2:sha256:260000$c2FsdA$6e6f7420612072656c2068617368",
    "$pbkdf2-sha512$25000$c2FsdA$bm90IGEgcmVhbCBoYXNo",
    "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
    "$apr1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
    "$5$rounds=5000$saltsalt$Bg9yrTPqf0bNEBVqL3mJZ4dRFhNZ9pQK1mEr0VgJgXD",
    "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
    "$P$B12345678abcdefghijklmnopqrstuv",
    "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g2Qm9x",
    "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
    "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
    "sha1$saltsalt$59b0e8dafab0a1cc9bcdc0e4c3a9b6d1d2a0a3f8",
)
KEYS = (
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "rk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "whsec_" + "a1b2c3d4e5f6g7h8i9j0k1l2",
    "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
    "glpat-" + "xYz123_abc-DEF456ghi",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
    "xoxb-" + "123456789012-abcdefGHIJKL",
    "SG." + "ngeVfQFYQlKU0ufo8x5d1A." + "TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr",
    "npm_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5",
    "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY-----",
)
TOKENS = ("aG7kP2mX9qL4vT8wZ3nB6cR1", "f3a9c1e7b2d84f60a5c3e9d1b7f2084e", "u8Jd_2kLmN-4pQrS6tUvW")
EMAILS = ("ada@corp.example", "Ada Lovelace <ada.l+x@mail.corp.example>", "ask ÄRGER@größe.example now")
PHONES = ("+49 30 1234567", "0049 30 1234567", "(030) 123-4567", "+14155550123")
PHONE_NUMBERS = (491701234567, 4917012345678, 14155550123, 4155550123, 33612345678, 919812345678, 8613812345678)
CARDS = ("4111 1111 1111 1111", "378282246310005", "5500-0000-0000-0004")
OTHERS = ("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "10.20.30.40")
NAMES = ("James Watt", "Mary Shelley", "Linda Example", "Robert Tables", "Susan Example")
PLAIN = (
    "the quick brown fox",
    "SKU-2026-0001",
    "2026-01-31T12:00:00Z",
    "https://corp.example/a/b?c=d",
    "SELECT $1 FROM t WHERE a = $2",
    "price: $12.50",
    "uploads/2026/01/cat.png",
    "4006381333931",
    "1.2.3",
    "a5c3e9d1-b7f2-4084-8f3a-c1e7b2d84f60",
    "sk_livestock",
    "task-4eC39HqLyjWDarjtT1zdp7dc",
    "{}",
    "#ff00aa",
)
COUNTS = (1, 3000000000, 1767225600, 1767225600000, 1767225600000000, 99999, 4006381333931)
