//! Cases spend their time waiting: some at a time, whatever the number of test threads. The first test
//! begins all of them, and each test waits for its own.

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, Once};
use std::thread;

/// Cases that run at a time.
const AT_A_TIME: usize = 8;

/// A case by its name.
pub type Case = (&'static str, fn());

thread_local! {
    /// The last panic of this thread, with its place.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

static RESULTS: Mutex<Vec<(&str, Result<(), String>)>> = Mutex::new(Vec::new());
static HAS_RESULT: Condvar = Condvar::new();

/// Waits for the result of a case, and fails where it has.
pub fn result_of(name: &str, cases: &'static [Case]) {
    // A test that was picked runs alone.
    if std::env::args().skip(1).any(|word| !word.starts_with('-')) {
        return cases.iter().find(|(known, _)| *known == name).unwrap().1();
    }
    begin(cases);
    let of = |results: &[(&str, Result<(), String>)]| {
        results.iter().find(|(known, _)| *known == name).map(|(_, result)| result.clone())
    };
    let mut results = RESULTS.lock().unwrap();
    while of(&results).is_none() {
        results = HAS_RESULT.wait(results).unwrap();
    }
    let result = of(&results);
    drop(results);
    if let Some(Err(message)) = result {
        panic!("{message}");
    }
}

fn begin(cases: &'static [Case]) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANIC.set(info.to_string());
            before(info);
        }));
        for _ in 0..AT_A_TIME {
            thread::spawn(|| {
                while let Some((name, case)) = cases.get(NEXT.fetch_add(1, Ordering::Relaxed)) {
                    // A skipped case is reported with the name of its thread.
                    let thread = thread::Builder::new().name((*name).to_owned());
                    let run = move || panic::catch_unwind(case).map_err(|_| PANIC.take());
                    let result = thread.spawn(run).unwrap().join().unwrap();
                    RESULTS.lock().unwrap().push((name, result));
                    HAS_RESULT.notify_all();
                }
            });
        }
    });
}

/// A test for each case.
macro_rules! cases {
    ($($module:ident: $($name:ident)+;)+) => {
        const CASES: &[pool::Case] = &[$($((stringify!($name), $module::$name)),+),+];

        $($(
            #[test]
            fn $name() {
                pool::result_of(stringify!($name), CASES);
            }
        )+)+
    };
}
