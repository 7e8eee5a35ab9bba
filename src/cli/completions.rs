//! Completions for bash, zsh and fish: verbs, flags with their descriptions, and values; printed from
//! `FLAGS` and `VERBS`. What no table has is left to the shell: files and host names.

use std::fmt::{self, Write};

use super::flags::{FLAGS, Flag, Verb};
use super::mistake::Mistake;
use super::verb::{self, Offer, SHELLS, VERBS, VerbRecord};
use crate::diagnosis::causes::Cause;
use crate::escape::{ShellQuoted, quoted};

/// The words after `tcpgoon completions`: a shell.
///
/// # Errors
/// None, an unknown one, or several.
pub fn shell(words: &[String]) -> Result<&'static str, Mistake> {
    let (word, why) = match words {
        [] => return Err(Mistake::Other("a shell is required: bash, zsh or fish".into())),
        [word] => match SHELLS.iter().find(|shell| *shell == word) {
            Some(shell) => return Ok(shell),
            None => (word, "bash, zsh and fish are accepted"),
        },
        [_, second, ..] => (second, "one shell is accepted"),
    };
    Err(Mistake::Word { word: word.clone(), line: format!("{}: {why}", quoted(word)) })
}

/// The script for one of [`SHELLS`].
pub fn script(shell: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match shell {
        "bash" => write_bash(&mut out),
        "zsh" => write_zsh(&mut out),
        _ => write_fish(&mut out),
    };
    out
}

fn flags(record: &VerbRecord) -> impl Iterator<Item = &'static Flag> {
    let verb = record.verb;
    FLAGS.iter().filter(move |flag| verb.is_some_and(|verb| flag.belongs_to(verb)))
}

/// Calls `each` with the words of an offer and their descriptions; none are of what the shell offers.
fn each_word(offer: Offer, each: &mut dyn FnMut(&str, &str)) {
    match offer {
        Offer::Nothing | Offer::Files | Offer::Hosts => {}
        Offer::Words(words) => words.iter().for_each(|word| each(word, "")),
        Offer::Causes => {
            Cause::ALL.iter().for_each(|cause| each(cause.id(), cause.record().title));
        }
        Offer::Verbs => verb::listed().for_each(|record| each(record.word, record.help)),
    }
}

/// Each word of an offer, quoted, with its description if it has one.
fn quoted_words(offer: Offer, between: &str) -> String {
    let mut line = String::new();
    each_word(offer, &mut |word, help| {
        if !line.is_empty() {
            line.push(' ');
        }
        let between = if help.is_empty() { "" } else { between };
        // Writing to a string cannot fail.
        let _ = write!(line, "{}", ShellQuoted(&[word, between, help].concat()));
    });
    line
}

/// The first words, as a pattern.
fn verb_pattern(between: &str) -> String {
    VERBS.iter().map(|record| record.word).collect::<Vec<_>>().join(between)
}

/// Words are listed with their descriptions, one a line: bash has none of its own.
const BASH_BEGIN: &str = r#"# Completions of tcpgoon for bash. To load them: source <(tcpgoon completions bash)
_tcpgoon() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} IFS=$'\n'
  local verb= value= files= hosts= line index
  local -a flags=() words=()
  # A value behind = is a word of its own here.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  (( COMP_CWORD > 1 )) && verb=${COMP_WORDS[1]}
  case $verb in
"#;

const BASH_END: &str = r#"  esac
  COMPREPLY=()
  if [[ $files && ( $value || $cur != -* ) ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  if [[ $cur == -* && ! $value ]]; then
    words=("${flags[@]}")
  elif [[ $hosts ]]; then
    COMPREPLY=($(compgen -A hostname -- "$cur"))
  fi
  for line in "${words[@]}"; do
    [[ $line == "$cur"* ]] && COMPREPLY+=("$line")
  done
  # One is inserted, and so is each of several if COMP_TYPE is % or *: without its description.
  for index in "${!COMPREPLY[@]}"; do
    line=${COMPREPLY[index]}
    if (( ${#COMPREPLY[@]} == 1 || COMP_TYPE == 37 || COMP_TYPE == 42 )); then
      line=${line%% *}
    elif [[ $line == *' '* ]]; then
      printf -v line '%-18s  %s' "${line%% *}" "${line#* }"
      (( COLUMNS > 30 )) && line=${line:0:COLUMNS-2}
    fi
    COMPREPLY[index]=$line
  done
}
complete -F _tcpgoon tcpgoon
"#;

fn write_bash(out: &mut dyn Write) -> fmt::Result {
    out.write_str(BASH_BEGIN)?;
    // A run is all that has no verb: it comes last.
    for record in verb::listed().chain([Verb::Run.record()]) {
        let is_run = record.verb == Some(Verb::Run);
        writeln!(out, "    {})\n      flags=(", if is_run { "*" } else { record.word })?;
        for flag in flags(record) {
            let line = format!("--{} {}", flag.long, flag.described());
            writeln!(out, "        {}", ShellQuoted(&line))?;
        }
        writeln!(out, "      )\n      case $prev in")?;
        for flag in flags(record).filter(|flag| flag.value.is_some()) {
            let short = flag.short.map_or(String::new(), |short| format!("-{short}|"));
            let value = if flag.alone.is_some() { "" } else { "value=1 " };
            writeln!(out, "        {short}--{}) {value}{} ;;", flag.long, in_bash(flag.offer()))?;
        }
        let first = if is_run {
            format!("(( COMP_CWORD == 1 )) && {}; ", in_bash(Offer::Verbs))
        } else {
            String::new()
        };
        writeln!(out, "        *) {first}{} ;;\n      esac ;;", in_bash(record.offer))?;
    }
    out.write_str(BASH_END)
}

fn in_bash(offer: Offer) -> String {
    match offer {
        Offer::Nothing => String::new(),
        Offer::Files => "files=1".into(),
        Offer::Hosts => "hosts=1".into(),
        _ => format!("words=({})", quoted_words(offer, " ")),
    }
}

const ZSH_BEGIN: &str = r#"#compdef tcpgoon
# Completions of tcpgoon for zsh. To load them: source <(tcpgoon completions zsh), behind compinit; or
# as a file _tcpgoon in a folder of $fpath.
"#;

const ZSH_END: &str = r#"  esac
}

if [[ $funcstack[1] == _tcpgoon ]]; then _tcpgoon "$@"; else compdef _tcpgoon tcpgoon; fi
"#;

fn write_zsh(out: &mut dyn Write) -> fmt::Result {
    out.write_str(ZSH_BEGIN)?;
    for (name, offer) in [("verbs", Offer::Verbs), ("causes", Offer::Causes)] {
        let words = quoted_words(offer, ":");
        writeln!(out, "_tcpgoon_{name}() {{\n  local -a {name}=({words})")?;
        writeln!(out, "  _describe {name} {name}\n}}")?;
    }
    writeln!(out, "_tcpgoon_targets() {{\n  (( first )) && _tcpgoon_verbs\n  _hosts\n}}")?;
    writeln!(out, "_tcpgoon() {{\n  local verb=run first=$(( CURRENT == 2 ))")?;
    writeln!(out, "  if (( CURRENT > 2 )) && [[ $words[2] == ({}) ]]; then", verb_pattern("|"))?;
    writeln!(
        out,
        "    verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n  fi\n  case $verb in"
    )?;
    for record in &VERBS {
        writeln!(out, "    {})\n      _arguments -s -S : \\", record.word)?;
        for flag in flags(record) {
            write_zsh_flag(out, flag)?;
        }
        match record.offer {
            // A message about a word would keep flags from being inserted.
            Offer::Nothing => {}
            Offer::Hosts => writeln!(out, "        '*:target:_tcpgoon_targets' \\")?,
            offer => writeln!(out, "        '1:{}:{}' \\", record.word, in_zsh(offer))?,
        }
        writeln!(out, "      ;;")?;
    }
    out.write_str(ZSH_END)
}

/// One line for each name of a flag; either hides the other once it is given.
fn write_zsh_flag(out: &mut dyn Write, flag: &Flag) -> fmt::Result {
    let short = flag.short.map_or(String::new(), |short| format!("-{short}"));
    let long = format!("--{}", flag.long);
    let hides = if flag.is_list { "*".into() } else { format!("({short} {long})") };
    let mut help = String::new();
    for c in flag.described().chars() {
        if matches!(c, '[' | ']' | '\\' | ':') {
            help.push('\\');
        }
        help.push(c);
    }
    let value = flag.value.map_or(String::new(), |value| {
        let colons = if flag.alone.is_some() { "::" } else { ":" };
        format!("{colons}{value}:{}", in_zsh(flag.offer()))
    });
    for (name, sign) in [(&short, "+"), (&long, "=")] {
        let sign = if value.is_empty() { "" } else { sign };
        let spec = [&*hides, name, sign, "[", &help, "]", &value].concat();
        if !name.is_empty() {
            writeln!(out, "        {} \\", ShellQuoted(&spec))?;
        }
    }
    Ok(())
}

fn in_zsh(offer: Offer) -> String {
    match offer {
        Offer::Nothing => " ".into(),
        Offer::Files => "_files".into(),
        Offer::Hosts => "_hosts".into(),
        Offer::Causes => "_tcpgoon_causes".into(),
        Offer::Verbs => "_tcpgoon_verbs".into(),
        Offer::Words(_) => format!("({})", quoted_words(offer, " ")),
    }
}

const FISH_BEGIN: &str = r#"# Completions of tcpgoon for fish. To load them: tcpgoon completions fish | source
function __tcpgoon_is
    set -l words (commandline -opc)
    set -l verb run
    if contains -- "$words[2]" VERBS
        set verb $words[2]
    end
    test $verb = $argv[1]
end
complete -c tcpgoon -f
"#;

fn write_fish(out: &mut dyn Write) -> fmt::Result {
    out.write_str(&FISH_BEGIN.replace("VERBS", &verb_pattern(" ")))?;
    write_fish_words(out, "test (count (commandline -opc)) -eq 1", Offer::Verbs)?;
    for record in &VERBS {
        let is_verb = format!("__tcpgoon_is {}", record.word);
        write_fish_words(out, &is_verb, record.offer)?;
        for flag in flags(record) {
            write!(out, "complete -c tcpgoon -n '{is_verb}' -l {}", flag.long)?;
            if let Some(short) = flag.short {
                write!(out, " -s {short}")?;
            }
            let offer = flag.offer();
            match offer {
                _ if flag.value.is_none() => {}
                Offer::Files => write!(out, " -r -F")?,
                Offer::Hosts => write!(out, " -x -a '{FISH_HOSTS}'")?,
                // Without a space before it: --color=always.
                _ if flag.alone.is_some() => write!(out, " -a '{}'", quoted_words(offer, " "))?,
                _ => write!(out, " -x -a '{}'", quoted_words(offer, " "))?,
            }
            writeln!(out, " -d {}", in_fish(&flag.described()))?;
        }
    }
    Ok(())
}

/// A function of fish.
const FISH_HOSTS: &str = "(__fish_print_hostnames)";

fn write_fish_words(out: &mut dyn Write, condition: &str, offer: Offer) -> fmt::Result {
    match offer {
        Offer::Hosts => writeln!(out, "complete -c tcpgoon -n '{condition}' -a '{FISH_HOSTS}'")?,
        Offer::Files => writeln!(out, "complete -c tcpgoon -n '{condition}' -F")?,
        _ => {}
    }
    let mut lines = String::new();
    each_word(offer, &mut |word, help| {
        let help = in_fish(help);
        let _ = writeln!(lines, "complete -c tcpgoon -n '{condition}' -a {word} -d {help}");
    });
    out.write_str(&lines)
}

/// There a backslash is special between quotes, too.
fn in_fish(text: &str) -> String {
    ShellQuoted(&text.replace('\\', "\\\\")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shells make of it is in `tests/shells.rs`.
    #[test]
    fn every_flag_is_in_each_script_once_for_each_verb() {
        for shell in SHELLS {
            let script = script(shell);
            for flag in FLAGS {
                let name = match *shell {
                    "bash" => format!("        '--{} ", flag.long),
                    "zsh" if flag.value.is_some() => format!("--{}=[", flag.long),
                    "zsh" => format!("--{}[", flag.long),
                    _ => format!(" -l {} ", flag.long),
                };
                let same = FLAGS.iter().filter(|other| other.long == flag.long);
                let verbs: usize = same.map(|flag| flag.verbs.len()).sum();
                assert_eq!(script.matches(&name).count(), verbs, "{shell}: {}", flag.long);
            }
        }
    }
}
