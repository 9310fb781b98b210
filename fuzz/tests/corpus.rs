//! Replays the committed corpus without libFuzzer, so that every input that fuzzing has kept stays
//! covered.

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_satisfies_the_invariants() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut count = 0;
    for folder in fs::read_dir(corpus).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let check = upwire_fuzz::target(&name).expect("each folder is named for a target");
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            count += 1;
        }
    }
    assert!(count > 100, "{count} inputs");
}
