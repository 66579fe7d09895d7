"""Secrets of every known shape, made up, each spelled so that no scanner minds this file.

Pairs of a text and the part of it that must never leave.
"""

DIGITS = "0123456789"
BODY = "aB3" + DIGITS * 4
UPPER = "Q7" + DIGITS * 2


def pem(kind):
    """Return a private key in the armour of `kind`."""
    armour = f"{kind}PRIVATE KEY-----"
    return f"-----BEGIN {armour}\nMIIE{BODY}\n-----END {armour}"


SECRETS = {
    "private_key": [
        (pem(kind), BODY) for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    ]
    + [(f"-----BEGIN PRIVATE KEY-----\\nMIIE{BODY}", BODY)],
    "header": [
        (f"Authorization: Digest username=bob, response={BODY}", BODY),
        (f"authorization={BODY}", BODY),
        (f'{{"Authorization": "Custom {BODY}"}}', BODY),
        (f'\\"authorization\\": \\"Custom {BODY}\\"', BODY),
        (f"Proxy-Authorization:{BODY}", BODY),
        (f"Cookie: a=b; session={BODY}; c=d", BODY),
        (f"Set-Cookie: session={BODY}; HttpOnly", BODY),
    ],
    "jwt": [
        ("eyJ" + f"hbGciOiJI.eyJzdWIiOiIx.{BODY}", BODY),
        ("eyJ" + f"hbGciOiJI.{BODY}", BODY),
    ],
    "aws_key": [("AKIA" + UPPER, UPPER), ("ASIA" + UPPER, UPPER)],
    "github_token": [
        *(("gh" + f"{letter}_{BODY}", BODY) for letter in "pousr"),
        ("github" + f"_pat_{BODY}_{BODY}", BODY),
    ],
    "service_token": [
        ("glpat" + f"-{BODY}", BODY),
        ("xox" + f"b-{BODY}", BODY),
        ("sk" + f"_live_{BODY}", BODY),
        ("rk" + f"_test_{BODY}", BODY),
        ("AIza" + BODY, BODY),
        (" sk" + f"-proj-{BODY}", BODY),
    ],
    "bearer": [
        (f"Bearer {BODY}", BODY),
        (f"bearer  {BODY}==", BODY),
        (f"BEARER%20{BODY}", BODY),
        ("Bearer " + "abcdefghij" * 3, "abcdefghij" * 3),
    ],
    "basic": [
        ("Basic dXNlcjpwYXNzd29yZDEyMw==", "cGFzc3dvcmQ"),
        ("basic OnB3MTIzNA", "OnB3MTIzNA"),
    ],
    "assignment": [
        (f"{name}{gives}{BODY}", BODY)
        for name in (
            *("password", "Passwd", "PASSPHRASE", "pwd", "DB_PASSWORD", "password2"),
            *("api_key", "apikey", "X-Api-Key", "apiKey", "aws_secret_access_key"),
            *("client_secret", "secretKey", "private_key", "credential", "mnemonic"),
            *("seed phrase".replace(" ", "_"), "AccountKey", "secret"),
        )
        for gives in ("=", ": ", " = ", "%3D", '": "', "': '", '\\": \\"', '="')
    ],
    "token": [
        *(
            (f"{name}{gives}{BODY}", BODY)
            for name in ("token", "access_token", "id-token", "Token", "refreshToken")
            for gives in ("=", " = ", "%3D", '": "', "': '", '="')
        ),
        (f"https://host/blob?sv=1&sig={BODY}&se=2", BODY),
        (f"https://host/?X-Amz-Signature={BODY}", BODY),
    ],
    "url_password": [
        (f"postgresql://user:{BODY}@host:5432/db", BODY),
        (f"redis://:{BODY}@host", BODY),
        (f"amqp://user:{BODY}@x@host/", BODY),
    ],
}

HARMLESS = [
    "",
    "task_request",
    "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "/ip4/127.0.0.1/tcp/4001",
    "https://host:8080/path?page=2&sort=name#top",
    "SELECT id, name FROM users WHERE key = 7",
    "the bearer of this letter; Bearer authentication failed; bearer tokens",
    "Basic information, basic structure, Basic auth",
    "JSONDecodeError: unexpected token: } in line 3",
    "KeyError: 'monkey', keys=3, tokens=17, the primary key: id",
    "a risk-assessment-of-the-thing-2, task-4711-abcdefghijklmnopqrstuvwxyz",
    "password reset requested; wrong password; forgot the secret",
    "author: Mary, authority=none, compass: north, passenger: 2, bypass=yes",
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "user@example.org wrote to http://host/a:b@c",
    "design: sign here, signature: none",
    "Größe: 4 İstanbul ẞ \N{KELVIN SIGN} \U0001f512",
    "eyJ is how JSON begins in base64",
]
"""Texts that look a little like secrets, and are none."""
