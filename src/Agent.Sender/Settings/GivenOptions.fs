namespace Agent.Sender

open System.Net
open Agent.Core

/// Everything that was given, as the checks of options that concern each other ask for it.
[<NoEquality; NoComparison>]
type internal GivenOptions =
    {
        /// The value of a flag: the flag itself, else its variable unless empty.
        Value: string -> Given voption
        /// A variable that systemd sets; empty when it does not.
        System: string -> string
    }

    /// Whether a switch is on. One that is there and wrong counts as on, and is reported by its own check.
    member given.IsSet(flag: string) : bool =
        match given.Value flag with
        | ValueSome value -> GivenValues.switchOf value |> Result.defaultValue true
        | ValueNone -> false

    /// Whether anything was given for a flag.
    member given.Has(flag: string) : bool = (given.Value flag).IsSome

/// Options that contradict each other.
[<RequireQualifiedAccess>]
module internal Contradictions =
    open GivenFaults

    let private isAny (given: GivenOptions) (flags: string list) = flags |> List.exists given.IsSet

    /// The error where a flag's value is there and a condition holds; its text is not repeated.
    let private wrongWhen (given: GivenOptions) (flag: string) (condition: bool) (message: string) : ConfigError list =
        match given.Value flag with
        | ValueSome value when condition -> [ errorWithoutText value message ]
        | _ -> []

    /// What a machine gets when it enrols has to be kept. `key` is the key that it enrols with, where it has no token.
    let private enrolment (given: GivenOptions) (key: Given voption) =
        match key with
        | ValueSome key when
            not (given.Has "--spool")
            && given.System "STATE_DIRECTORY" = ""
            && not (given.IsSet "--dry-run")
            ->
            [
                errorWithoutText key "what the machine gets has to be kept somewhere; give --spool too"
            ]
        | _ -> []

    let private clientKey (given: GivenOptions) =
        wrongWhen given "--client-key" (not (given.Has "--client-cert")) "a private key needs a certificate; set --client-cert too"

    let private nvmlLibrary (given: GivenOptions) =
        match given.Value "--nvml-library", given.Value "--gpu-source" with
        | ValueSome library, ValueSome source when
            GivenValues.gpuReaderOf source = Ok GpuReader.NvidiaSmi
            || GivenValues.gpuReaderOf source = Ok GpuReader.None
            ->
            [
                error library $"used with {source.Origin} {source.Text.Trim()}; leave one of the two out"
            ]
        | _ -> []

    let private listen (given: GivenOptions) =
        match given.Value "--listen", given.Value "--listen-token-file" with
        | ValueNone, ValueSome file -> [ errorWithoutText file "nothing is served without --listen" ]
        | ValueSome listen, _ when isAny given [ "--once"; "--dry-run" ] ->
            [
                errorWithoutText listen "--once and --dry-run serve no metrics; leave one of them out"
            ]
        | ValueSome listen, ValueNone ->
            match GivenUrls.listenOf listen with
            | Ok address when not (IPAddress.IsLoopback address.Address) ->
                [
                    error listen "a loopback address, so others can read the metrics there; set --listen-token-file too"
                ]
            | _ -> []
        | _ -> []

    /// What contradicts a receiver of metrics, or its file of headers.
    let private receiver (option: string) (given: GivenOptions) =
        match given.Value option, given.Value $"{option}-header-file" with
        | ValueNone, ValueSome file -> [ errorWithoutText file $"the headers have no receiver without {option}" ]
        | ValueSome url, _ when isAny given [ "--once"; "--dry-run" ] ->
            [
                errorWithoutText url "--once and --dry-run only concern the webapp; leave one of them out"
            ]
        | _ -> []

    let private json (given: GivenOptions) =
        wrongWhen
            given
            "--json"
            (given.IsSet "--json" && not (isAny given [ "--doctor"; "--why" ]))
            "only --doctor and --why print a report as JSON"

    let private why (given: GivenOptions) =
        match given.Value "--seconds", given.Value "--doctor" with
        | ValueSome seconds, _ when not (given.IsSet "--why") ->
            [
                errorWithoutText seconds "only --why watches for a while; add --why, or leave it out"
            ]
        | _, ValueSome doctor when given.IsSet "--why" && given.IsSet "--doctor" ->
            [
                errorWithoutText doctor "--why and --doctor cannot be combined; leave one of them out"
            ]
        | _ -> []

    let private job (given: GivenOptions) =
        match given.Value "--job", given.Value "--seconds" with
        | ValueSome job, _ when not (given.IsSet "--why") ->
            [
                errorWithoutText job "only --why asks about a job; add --why, or leave it out"
            ]
        | ValueSome _, ValueSome seconds ->
            [
                errorWithoutText seconds "--why --job asks about what was, and watches nothing; leave one of them out"
            ]
        | ValueSome job, _ when not (given.Has "--listen") ->
            [
                errorWithoutText job "this asks a running agent: give the address of its --listen as well"
            ]
        | _ -> []

    let private once (given: GivenOptions) =
        wrongWhen
            given
            "--once"
            (given.IsSet "--once" && isAny given [ "--doctor"; "--why" ])
            "--doctor and --why send no samples; leave one of them out"

    let private health (given: GivenOptions) =
        if not (given.IsSet "--health") then
            []
        elif isAny given [ "--once"; "--dry-run"; "--doctor"; "--why" ] then
            wrongWhen given "--health" true "this only asks a running agent; leave --once, --dry-run, --doctor and --why out"
        else
            wrongWhen given "--health" (not (given.Has "--listen")) "this asks a running agent: give the address of its --listen as well"

    /// All that contradicts itself, in the order in which it is told. `enrolKey` is the key that the machine enrols with, where it does.
    let ofOptions (given: GivenOptions) (enrolKey: Given voption) : ConfigError list =
        enrolment given enrolKey
        @ ([
            clientKey
            nvmlLibrary
            listen
            receiver "--remote-write"
            receiver "--otlp"
            json
            why
            job
            once
            health
           ]
           |> List.collect (fun check -> check given))
