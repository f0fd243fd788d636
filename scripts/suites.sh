# Runs the tests of other packages on this crate and on the libraries that they are of. Sourced by scripts/crossbeam-suite
# and scripts/async-suites, which say before:
#
#   suites              names of the packages
#   version[SUITE]      theirs
#   edition[SUITE]      theirs, too
#   files_of[SUITE]     the files of tests, without .rs
#   left_out[SUITE]     those that are no such files
#   tests_of[SUITE]     how many tests there are in them
#   threads_of[FILE]    with so many threads, if that matters
#   exceptions[FILE: TEST]   tests that have to fail on gochan: why
#   theirs              what the true library is called in the output
#   dependencies SUITE LIBRARY   prints the features and the dependencies of a package that has the suite as its tests
#   prepare             writes what else that needs to be on gochan, if anything
#
# and afterwards call run_suites. Files are called SUITE/FILE, here and in the output.

limit=300 # seconds; a file that runs longer hangs
ours=gochan
me=$(basename "$0")

usage_error() {
    echo "$me: $*" >&2
    exit 2
}

files=()
for suite in "${suites[@]}"; do
    for name in ${files_of[$suite]}; do files+=("$suite/$name"); done
done

mode=ours
rounds=
chosen=()
choose_mode() {
    [[ $mode == ours || $mode == "$1" ]] || usage_error "--$mode and --$1 exclude each other"
    mode=$1
}
choose() {
    local file found=
    for file in "${files[@]}"; do
        if [[ $file == "$1" || ${file#*/} == "$1" || ${file%/*} == "$1" ]]; then
            found=1
            [[ " ${chosen[*]} " == *" $file "* ]] || chosen+=("$file")
        fi
    done
    [[ $found ]] || usage_error "no file $1: there are ${files[*]}"
}
while (($#)); do
    case $1 in
    --control | --beside | --ci) choose_mode "${1#--}" ;;
    --rounds)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage_error "--rounds wants a number"
        rounds=$2
        shift
        ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
    -*) usage_error "no option $1" ;;
    *) choose "${1%.rs}" ;;
    esac
    shift
done
[[ $mode != ci || -z $rounds ]] || usage_error "--ci and --rounds exclude each other"
rounds=${rounds:-1}
((${#chosen[@]})) || chosen=("${files[@]}")
command -v timeout >/dev/null || usage_error "timeout (coreutils) is not installed"

# Decimal points, whatever the user's language; and panics without backtraces, which go under the table.
export LC_ALL=C RUST_BACKTRACE=0
root=$PWD
work=${CARGO_TARGET_DIR:-target}
[[ $work == /* ]] || work=$root/$work
work=$work/$me
mkdir -p "$work/log"

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    green='' red='' plain=''
fi

# Writes a file only if that changes it: cargo would build again what has a new date.
put() {
    mkdir -p "$(dirname "$1")"
    cat >"$1.$$"
    if cmp -s "$1.$$" "$1"; then rm "$1.$$"; else mv "$1.$$" "$1"; fi
}

# The package that has the suite $1 as its tests, on the library $2; without tests as long as it is not known where they are.
generate_suite() {
    local suite=$1 library=$2 name
    put "$work/$library/$suite-suite/src/lib.rs" </dev/null
    # Dependencies and not dev-dependencies, so that `cargo build` says whether gochan itself compiles.
    # Warnings are about code that is not ours, and stand between its errors.
    {
        cat <<MANIFEST
[package]
name = "$suite-suite"
version = "0.0.0"
edition = "${edition[$suite]}"
publish = false
autotests = false

[lints.rust]
warnings = "allow"

MANIFEST
        dependencies "$suite" "$library"
        [[ -z ${place[$suite]:-} ]] || for name in ${files_of[$suite]}; do
            printf "\n[[test]]\nname = '%s'\npath = '%s'\n" "$name" "${place[$suite]}/$name.rs"
        done
    } | put "$work/$library/$suite-suite/Cargo.toml"
}

# The workspace of everything that is on the library $1.
generate() {
    local suite members=()
    for suite in "${suites[@]}"; do
        generate_suite "$suite" "$1"
        members+=("$suite-suite")
    done
    [[ $1 != "$ours" ]] || prepare
    # The profile: the suites are made for debug builds, and some tests are too slow without any optimisation.
    put "$work/$1/Cargo.toml" <<MANIFEST
[workspace]
members = [$(printf '"%s", ' "${members[@]}")]
resolver = "2"

[profile.dev]
opt-level = 1
debug = "line-tables-only"
MANIFEST
}

# Cargo fetches the packages as dependencies of the control, and knows where they then are. Others of these names, in
# other versions, may be there too.
declare -A place=() expected=()
find_suites() {
    local suite lib metadata counted name path
    generate "$theirs"
    metadata=$(cargo metadata --quiet --format-version 1 --manifest-path "$work/$theirs/Cargo.toml")
    for suite in "${suites[@]}"; do
        lib=/$suite-${version[$suite]}/src/lib.rs
        place[$suite]=$(sed -n "s|.*\"src_path\":\"\([^\"]*\)${lib//./\\.}\".*|\1${lib%/src/*}/tests|p" <<<"$metadata")
        if [[ ! -d ${place[$suite]} ]]; then
            echo "$me: cargo keeps no sources in a folder $suite-${version[$suite]}" >&2
            exit 1
        fi
    done

    # How many tests each file has, compiled or not.
    for suite in "${suites[@]}"; do
        for path in "${place[$suite]}"/*.rs; do
            name=$(basename "$path" .rs)
            if [[ " ${files_of[$suite]} ${left_out[$suite]:-} " != *" $name "* ]]; then
                echo "$me: nobody knows what $path is" >&2
                exit 1
            fi
        done
        counted=0
        for name in ${files_of[$suite]}; do
            expected[$suite/$name]=$(grep -c '^ *#\[\(async_std::\)\?test\]' "${place[$suite]}/$name.rs")
            counted=$((counted + expected[$suite/$name]))
        done
        if ((counted != tests_of[$suite])); then
            echo "$me: ${place[$suite]} has $counted tests in these files, not ${tests_of[$suite]}" >&2
            exit 1
        fi
    done
    generate "$ours"
    generate "$theirs"
}

# Builds the chosen files (or those given) on the library $1; `${binary[$1 FILE]}` is empty if FILE does not compile.
declare -A binary=()
build() {
    local library=$1 file packages=() targets=()
    shift
    (($#)) || set -- "${chosen[@]}"
    local cargo=(cargo build --quiet --manifest-path "$work/$library/Cargo.toml" --target-dir "$work/$library/target")
    for file; do packages+=(--package "${file%/*}-suite"); done
    if ! "${cargo[@]}" "${packages[@]}" 2>"$work/log/build.$library"; then
        cat "$work/log/build.$library" >&2
        echo "$me: $library does not compile" >&2
        exit 1
    fi
    # All at once first, for the sake of time. Then one by one, to know whose the errors are.
    for file; do targets+=(--test "${file#*/}"); done
    "${cargo[@]}" --keep-going "${packages[@]}" "${targets[@]}" >"$work/log/build.$library" 2>&1 || true
    for file; do
        local errors=$work/log/build.$library.${file/\//.}
        if binary[$library $file]=$("${cargo[@]}" --package "${file%/*}-suite" --test "${file#*/}" \
            --message-format json-render-diagnostics 2>"$errors" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'); then
            continue
        fi
        binary[$library $file]=
        cat "$errors" >&2
        echo "$me: $file does not compile on $library" >&2
    done
}

# What a run's output says: passed, failed, ignored. libtest's summary, if the run got that far.
count() {
    awk '
        /^test result: / { gsub(/[^0-9 ]/, ""); split($0, n, " "); summary = n[1] " " n[2] " " n[3] }
        /^test .* \.\.\. ok$/ { passed++ }
        /^test .* \.\.\. FAILED$/ { failed++ }
        /^test .* \.\.\. ignored/ { ignored++ }
        END { print summary ? summary : passed + 0 " " failed + 0 " " ignored + 0 }' "$1"
}

failed_tests() {
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$1"
}

# In the order in which they start, so the one that hangs or crashes is one of the first.
unfinished_tests() {
    "$1" --list 2>/dev/null | sed -n 's/: test$//p' |
        awk 'NR == FNR { if (/^test .* \.\.\. (ok$|FAILED$|ignored)/) done[$2]; next } !($0 in done)' "$2" -
}

# The first lines of what the failed test $2 of the file $3 printed.
printed() {
    awk -v begin="---- $2 stdout ----" '
        $0 == begin { inside = 1; next }
        /^---- .* stdout ----$/ || /^failures:$/ { inside = 0 }
        inside && NF && !/RUST_BACKTRACE/ && lines++ < 6 { print "      " $0 }' "$1" |
        sed "s|${place[${3%/*}]}/|tests/|"
}

row() {
    local colour=$1
    shift
    printf "%s%-${wide}s  %5s  %-${width}s  %6s  %6s  %8s  %7s  %7s%s%s\n" "$colour" "${@:1:8}" "${9:+  $9}" "${colour:+$plain}"
}

# Runs FILE on LIBRARY and prints its line: LIBRARY ROUND FILE. Sets passed, excepted, ignored and good.
declare -A times_failed=()
run() {
    local library=$1 round=$2 file=$3 name note='' status=0
    local exe=${binary[$library $file]} out=$work/log/$library.${file/\//.}.$round
    local failed=0 seconds=- blamed=() unforeseen=() threads=()
    [[ -z ${threads_of[$file]:-} ]] || threads=(--test-threads="${threads_of[$file]}")
    passed=0 excepted=0 ignored=0 good=0
    if [[ -z $exe ]]; then
        row "$red" "$library" "$round" "$file" 0 0 0 0 - 'does not compile'
        return
    fi
    local start=${EPOCHREALTIME/./}
    # In the foreground, or Ctrl-C would not reach the tests. The outer stderr is where bash reports a crash.
    { timeout --foreground --kill-after=10 "$limit" "$exe" "${threads[@]}" >"$out" 2>"$out.stderr"; } 2>/dev/null || status=$?
    local micros=$((${EPOCHREALTIME/./} - start))
    seconds=$(printf '%d.%02d' $((micros / 1000000)) $((micros % 1000000 / 10000)))
    read -r passed failed ignored < <(count "$out")

    if ((status == 124 || status == 137 && micros >= limit * 1000000)); then
        note="hung: killed after $limit s"
    elif ((status > 128)); then
        note="crashed: signal $((status - 128))"
    elif ((status != 0 && failed == 0)); then
        note="exit status $status"
    elif ((passed + failed + ignored != expected[$file])); then
        note="ran $((passed + failed + ignored)) tests of ${expected[$file]}"
    fi

    # The exceptions are not counted as failed, and missed if they have not failed.
    declare -A missed=()
    if [[ $library == "$ours" ]]; then
        for name in "${!exceptions[@]}"; do
            [[ $name != "$file: "* ]] || missed[${name#*: }]=1
        done
    fi
    while read -r name; do
        if [[ -n ${missed[$name]:-} ]]; then
            unset "missed[$name]"
            excepted=$((excepted + 1))
        else
            blamed+=("$name")
        fi
    done < <(failed_tests "$out")
    failed=$((failed - excepted))
    for name in "${!missed[@]}"; do unforeseen+=("$name"); done

    if ((failed == 0 && ${#unforeseen[@]} == 0)) && [[ -z $note ]]; then
        good=1
        row "$green" "$library" "$round" "$file" "$passed" "$failed" "$excepted" "$ignored" "$seconds"
        return
    fi
    row "$red" "$library" "$round" "$file" "$passed" "$failed" "$excepted" "$ignored" "$seconds" "$note"
    for name in "${blamed[@]}"; do
        echo "    FAILED $file: $name"
        printed "$out" "$name" "$file"
        times_failed["$library $file: $name"]=$((${times_failed["$library $file: $name"]:-0} + 1))
    done
    for name in "${unforeseen[@]}"; do
        echo "    NOT FAILED, but an exception: $file: $name"
        name="$library $file: $name, an exception, not"
        times_failed[$name]=$((${times_failed[$name]:-0} + 1))
    done
    if [[ -n $note ]]; then
        local unfinished
        mapfile -t unfinished < <(unfinished_tests "$exe" "$out")
        for name in "${unfinished[@]:0:4}"; do echo "    UNFINISHED $file: $name"; done
        ((${#unfinished[@]} <= 4)) || echo "    .. and the $((${#unfinished[@]} - 4)) after them"
        tail -n 6 "$out.stderr" | sed 's/^/      /'
        times_failed["$library $file: $note"]=$((${times_failed["$library $file: $note"]:-0} + 1))
    fi
}

# Adds what `run` set to a library's total of the round.
declare -A sum_passed=() sum_excepted=() sum_ignored=() spoilt=()
add() {
    sum_passed[$1]=$((${sum_passed[$1]:-0} + passed))
    sum_excepted[$1]=$((${sum_excepted[$1]:-0} + excepted))
    sum_ignored[$1]=$((${sum_ignored[$1]:-0} + ignored))
    ((good)) || spoilt[$1]=1
}

total() {
    local colour=$green more=''
    ((sum_excepted[$1] == 0)) || more=", ${sum_excepted[$1]} failed as excepted"
    ((sum_ignored[$1] == 0)) || more+=", ${sum_ignored[$1]} ignored"
    [[ -z ${spoilt[$1]:-} ]] || colour=$red
    printf '%s%s: %d of %d passed%s%s\n' "$colour" "$1" "${sum_passed[$1]}" "$tests" "$more${2:-}" "${colour:+$plain}"
}

# All that was asked for. False if a test has failed that should not have.
run_suites() {
    local file library libraries round name repeated
    find_suites
    tests=0 width=8 wide=${#theirs}
    ((wide >= 7)) || wide=7
    for file in "${chosen[@]}"; do
        tests=$((tests + expected[$file]))
        ((${#file} <= width)) || width=${#file}
    done
    case $mode in
    ours | ci) libraries=("$ours") ;;
    control) libraries=("$theirs") ;;
    beside) libraries=("$ours" "$theirs") ;;
    esac
    for library in "${libraries[@]}"; do build "$library"; done

    row '' library round file passed failed excepted ignored seconds
    exit_status=0
    again=()
    for ((round = 1; round <= rounds; round++)); do
        sum_passed=() sum_excepted=() sum_ignored=() spoilt=()
        for file in "${chosen[@]}"; do
            for library in "${libraries[@]}"; do
                run "$library" "$round" "$file"
                if [[ $mode == ci && $good == 0 && -n ${binary[$library $file]} ]]; then
                    # The repeat decides.
                    again+=("$file")
                    continue
                fi
                add "$library"
                ((good)) || [[ $mode == beside && $library == "$theirs" ]] || exit_status=1
            done
        done
        [[ $mode == ci ]] || for library in "${libraries[@]}"; do total "$library"; done
    done

    if [[ $mode == ci ]]; then
        repeated=''
        if ((${#again[@]})); then
            build "$theirs" "${again[@]}"
            for file in "${again[@]}"; do
                run "$ours" again "$file"
                add "$ours"
                ((good)) || exit_status=1
                run "$theirs" again "$file"
            done
            repeated=", repeated: ${again[*]}"
        fi
        total "$ours" "$repeated"
    fi

    # Why, for those of the chosen files.
    if [[ $mode != control ]]; then
        for name in "${!exceptions[@]}"; do
            [[ " ${chosen[*]} " != *" ${name%%: *} "* ]] || printf 'exception: %s %s\n' "$name" "${exceptions[$name]}"
        done | sort
    fi
    if ((rounds > 1 && ${#times_failed[@]})); then
        for name in "${!times_failed[@]}"; do
            printf '%s failed in %d of %d rounds\n' "$name" "${times_failed[$name]}" "$rounds"
        done | sort
    fi
    return $exit_status
}
