use proptest::prelude::*;

use super::*;

/// The dialogue of RFC 7677, section 3.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> Password {
    Password::new("pencil")
}

#[test]
fn the_example_of_rfc_7677() {
    let password = pencil();
    let scram = Scram::new(Hash::Sha256, "user", &password, NONCE.to_owned());
    assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let proof = scram.answer(CHALLENGE.as_bytes()).expect("a challenge");
    assert_eq!(
        proof.word,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(proof.check(FINAL.as_bytes()), Ok(()));
}

#[test]
fn a_broker_that_does_not_know_the_password_is_found_out() {
    let password = pencil();
    let scram = Scram::new(Hash::Sha256, "user", &password, NONCE.to_owned());
    let proof = scram.answer(CHALLENGE.as_bytes()).expect("a challenge");
    let other = FINAL.replace("6rri", "7rri");
    assert_eq!(proof.check(other.as_bytes()), Err(ScramError::Unproven));
    assert_eq!(proof.check(b"v="), Err(ScramError::Unproven));
    for none in [&b""[..], b"v=***", b"ok", b"\xff"] {
        assert!(matches!(proof.check(none), Err(ScramError::Odd(_))));
    }
    let refused = ScramError::Refused("unknown-user".to_owned());
    assert_eq!(proof.check(b"e=unknown-user"), Err(refused));
}

#[test]
fn challenges_that_are_none_are_refused() {
    let password = pencil();
    let scram = Scram::new(Hash::Sha512, "user", &password, "ours".to_owned());
    let answer = |text: &str| scram.answer(text.as_bytes()).map(|_| ()).expect_err(text);
    for odd in [
        "",
        "r=theirs,s=QQ==,i=4096",
        "r=ours,s=QQ==,i=4096",
        "r=ours+,s=,i=4096",
        "r=ours+,s=***,i=4096",
        "r=ours+,i=4096,s=QQ==",
        "r=ours+,s=QQ==",
        "r=ours+,s=QQ==,i=",
        "r=ours+,s=QQ==,i=-1",
        "r=ours+,s=QQ==,i=99999999999999999999",
        "m=x,r=ours+,s=QQ==,i=4096",
    ] {
        assert!(matches!(answer(odd), ScramError::Odd(_)), "{odd}");
    }
    for rounds in [0, 1, 4_095, 131_073, u64::from(u32::MAX) + 4_097] {
        let told = answer(&format!("r=ours+,s=QQ==,i={rounds}"));
        assert_eq!(told, ScramError::Rounds(rounds));
    }
    let long = format!("r=ours+,s={},i=4096", "A".repeat(5_000));
    assert_eq!(answer(&long), ScramError::Odd("it is too long"));
    assert_eq!(answer("e=no"), ScramError::Refused("no".to_owned()));
}

#[test]
fn names_with_signs_are_escaped() {
    let password = pencil();
    let scram = Scram::new(Hash::Sha256, "a=b,c", &password, "x".to_owned());
    assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=x");
}

/// What a broker that keeps the password's keys does (RFC 5802, section 3), written down a second time.
fn broker(hash: Hash, password: &str, bare: &str, challenge: &str, word: &str) -> Option<String> {
    let parts = hash.parts();
    let mut salted = vec![0; parts.digest.output_len()];
    let rounds = NonZeroU32::new(4_096).expect("it is not 0");
    pbkdf2::derive(
        parts.pbkdf2,
        rounds,
        b"salt",
        password.as_bytes(),
        &mut salted,
    );
    let salted = hmac::Key::new(parts.hmac, &salted);
    let client_key = hmac::sign(&salted, b"Client Key");
    let stored = digest::digest(parts.digest, client_key.as_ref());

    let (last, proof) = word.split_once(",p=").expect("a proof");
    let dialogue = format!("{bare},{challenge},{last}");
    let key = hmac::Key::new(parts.hmac, stored.as_ref());
    let signature = hmac::sign(&key, dialogue.as_bytes());
    let proof = STANDARD.decode(proof).expect("base64");
    let shown: Vec<u8> = proof
        .iter()
        .zip(signature.as_ref())
        .map(|(a, b)| a ^ b)
        .collect();
    let known = digest::digest(parts.digest, &shown).as_ref() == stored.as_ref();
    let server_key = hmac::sign(&salted, b"Server Key");
    let key = hmac::Key::new(parts.hmac, server_key.as_ref());
    let signature = hmac::sign(&key, dialogue.as_bytes());
    known.then(|| format!("v={}", STANDARD.encode(signature)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn both_sides_agree_if_and_only_if_the_password_is_the_same(
        user in "[ -~]{1,20}", password in "[ -~]{1,20}", other in "[ -~]{1,20}", sha512: bool,
    ) {
        let hash = if sha512 { Hash::Sha512 } else { Hash::Sha256 };
        let ours = Password::new(&password);
        let scram = Scram::new(hash, &user, &ours, "abc".to_owned());
        let challenge = format!("r=abcdef,s={},i=4096", STANDARD.encode(b"salt"));
        let proof = scram.answer(challenge.as_bytes()).expect("a challenge");
        let first = scram.first();
        let bare = first.strip_prefix("n,,").expect("a header");
        let told = broker(hash, &password, bare, &challenge, &proof.word).expect("it is the same");
        prop_assert_eq!(proof.check(told.as_bytes()), Ok(()));
        let told = broker(hash, &other, bare, &challenge, &proof.word);
        prop_assert_eq!(told.is_some(), other == password);
    }

    #[test]
    fn nothing_that_a_broker_says_panics(theirs in proptest::collection::vec(any::<u8>(), 0..80)) {
        let password = pencil();
        let scram = Scram::new(Hash::Sha256, "user", &password, NONCE.to_owned());
        prop_assert!(scram.answer(&theirs).is_err());
    }
}
