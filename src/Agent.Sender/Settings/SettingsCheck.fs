namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Outbound
open Agent.Core.Jobs
open Agent.Core.Units
open FsToolkit.ErrorHandling

/// Turns what the user gave into settings, or into all the errors at once.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Settings =
    open GivenFaults
    open GivenValues
    open GivenUrls

    /// The shortest interval between two samples, in seconds.
    let private shortestInterval = 0.5

    /// Whether samples go to no webapp: nobody need be named then, and what is named must still be right. Where metrics are the purpose, a
    /// webapp is one more; half a webapp is a mistake all the same.
    let private needsNoWebapp (given: GivenOptions) : bool =
        given.IsSet "--dry-run"
        || given.IsSet "--why"
        || given.IsSet "--health"
        || ([ "--listen"; "--remote-write"; "--otlp" ] |> List.exists given.Has
            && not (
                [ "--host"; "--server-slug"; "--token"; "--token-file"; "--enrol-key-file" ]
                |> List.exists given.Has
            ))

    /// What is missing for a webapp to be sent to.
    let private absentFrom (given: GivenOptions) (token: Result<TokenOrigin voption, ConfigError>) (enrolKey: Given voption) =
        if needsNoWebapp given then
            []
        else
            [
                if not (given.Has "--host") then
                    missing "--host"
                if not (given.Has "--server-slug") && enrolKey.IsNone then
                    missing "--server-slug"
                match token with
                | Ok ValueNone when enrolKey.IsNone -> IngestToken.missing
                | Ok ValueNone
                | Ok(ValueSome _)
                | Error _ -> ()
            ]

    let private receiverTarget
        (given: GivenOptions)
        (option: string)
        (endpoint: Uri voption)
        (headerFile: string)
        : ReceiverTarget voption =
        endpoint
        |> ValueOption.map (fun endpoint ->
            {
                Endpoint = endpoint
                HeaderFile = headerFile
                HeaderOrigin =
                    match given.Value $"{option}-header-file" with
                    | ValueSome file -> file.Origin
                    | ValueNone -> ""
            })

    /// The interval and the window over which CPU usage is counted, in seconds, as near to what was asked for as can be; and warnings where it
    /// is something else.
    let private pace (given: GivenOptions) (interval: float) (window: float) : struct (float * float * string list) =
        // Neither default needs a warning, so somebody gave what does.
        let warning (flag: string) (seconds: float) (what: string) =
            $"{(given.Value flag).Value.Origin}: {seconds.ToString CultureInfo.InvariantCulture} s is {what}"

        let seconds = max interval shortestInterval

        let windowWarning =
            if window >= seconds then
                [
                    warning "--cpu-sample-interval" window "not shorter than the interval; CPU usage is counted since the previous sample"
                ]
            elif window < 0.0 then
                [
                    warning "--cpu-sample-interval" window "raised to 0 s; CPU usage is counted since the previous sample"
                ]
            else
                []

        struct (seconds,
                (if windowWarning.IsEmpty then window else 0.0),
                [
                    if interval < shortestInterval then
                        warning "--interval" interval "raised to 0.5 s, the shortest interval"
                    yield! windowWarning
                ])

    /// What was given and goes unused. `serves` says whether there are metrics that collectors and jobs go into.
    let private unused (given: GivenOptions) (enrolKey: Given voption) (serves: bool) : string list =
        let origin flag tell =
            match given.Value flag with
            | ValueSome value -> [ tell value.Origin ]
            | ValueNone -> []

        [
            if enrolKey.IsNone then
                yield! origin "--enrol-key-file" (fun key -> $"{key}: not used, because there is a token already")

            if not serves then
                for flag in [ "--collectors"; "--textfile-directory" ] do
                    yield! origin flag (fun flag -> $"{flag}: not used, because there are no metrics without --listen or --remote-write")

                yield!
                    origin "--gpu-job-directory" (fun flag ->
                        $"{flag}: only metrics show the scheduler's jobs, and there are no metrics without --listen or --remote-write")
        ]

    /// A flag goes before a variable, and that is no surprise; two of a kind are.
    let private twoTokens (given: GivenOptions) : string list =
        match given.Value "--token", given.Value "--token-file" with
        | ValueSome token, ValueSome file when isFlag token = isFlag file ->
            [ $"{file.Origin}: not read, because {token.Origin} gives the token" ]
        | _ -> []

    /// Checks everything that was given. `given` finds the value of a flag: the flag itself, else its variable unless
    /// empty; `flagLabels` are the values of every `--label`, `variableLabels` its variable. `system` finds a variable that
    /// systemd sets, empty when it does not.
    let validate
        (given: string -> Given voption)
        (flagLabels: Given[])
        (variableLabels: Given voption)
        (system: string -> string)
        : Result<Settings, ConfigError list> =
        let given = { Value = given; System = system }

        let optional (flag: string) (fallback: 'a) (check: Given -> Result<'a, ConfigError>) : Validation<'a, ConfigError> =
            match given.Value flag with
            | ValueSome value -> Validation.ofResult (check value)
            | ValueNone -> Ok fallback

        let tokenOrigin =
            IngestToken.originOf (given.Value "--token") (given.Value "--token-file") (system "CREDENTIALS_DIRECTORY")

        // A token makes the key superfluous.
        let enrolKey =
            match tokenOrigin with
            | Ok(ValueSome(TokenOrigin.Given _ | TokenOrigin.File _)) -> ValueNone
            | _ -> given.Value "--enrol-key-file"

        let absent = absentFrom given tokenOrigin enrolKey

        validation {
            let! dryRun = optional "--dry-run" false switchOf
            and! host = optional "--host" ValueNone (hostOf >> Result.map ValueSome)
            and! slug = optional "--server-slug" ValueNone (IngestToken.slugOf >> Result.map ValueSome)
            and! token = Validation.ofResult tokenOrigin
            and! hostname = optional "--hostname" "" textOf
            and! interval = optional "--interval" 2.0 intervalOf
            and! window = optional "--cpu-sample-interval" 0.2 secondsOf
            and! timeout = optional "--timeout" (TimeSpan.FromSeconds 5.0) timeoutOf
            and! once = optional "--once" false switchOf
            and! disks = optional "--disks" [||] namesOf
            and! interfaces = optional "--interfaces" [||] namesOf
            and! labels = labelsOf flagLabels variableLabels
            and! quiet = optional "--quiet" false switchOf
            and! level = optional "--log-level" ValueNone (levelOf >> Result.map ValueSome)
            and! insecure = optional "--insecure" false switchOf
            and! gpuReader = optional "--gpu-source" GpuReader.Auto gpuReaderOf
            and! nvmlLibrary = optional "--nvml-library" "" fileOf
            and! jobDetail = optional "--job-detail" JobDetail.Names jobDetailOf
            and! gpuJobDirectory = optional "--gpu-job-directory" "" pathOf
            and! collectors = optional "--collectors" ValueNone (collectorsOf >> Result.map ValueSome)
            and! textfileDirectory = optional "--textfile-directory" "" pathOf
            and! procFs = optional "--procfs" "/proc" pathOf
            and! sysFs = optional "--sysfs" "/sys" pathOf
            and! rootFs = optional "--rootfs" "/" pathOf

            and! enrolKeyFile = optional "--enrol-key-file" "" fileOf
            and! caFile = optional "--ca-file" "" fileOf
            and! clientCertificate = optional "--client-cert" "" fileOf
            and! clientKey = optional "--client-key" "" fileOf
            and! spool = optional "--spool" "" pathOf
            and! spoolLimit = optional "--spool-max-mb" (bytesOfMib 256UL<MiB>) mebibytesOf
            and! receiver = optional "--remote-write" ValueNone (remoteWriteOf >> Result.map ValueSome)
            and! headerFile = optional "--remote-write-header-file" "" fileOf
            and! otlp = optional "--otlp" ValueNone (otlpOf >> Result.map ValueSome)
            and! otlpHeaderFile = optional "--otlp-header-file" "" fileOf
            and! listen = optional "--listen" ValueNone (listenOf >> Result.map ValueSome)

            and! listenToken =
                optional "--listen-token-file" ValueNone (fun file ->
                    fileOf file
                    |> Result.map (fun path -> ValueSome(TokenOrigin.File(path, file.Origin))))

            and! doctor = optional "--doctor" false switchOf
            and! health = optional "--health" false switchOf
            and! why = optional "--why" false switchOf
            and! watchFor = optional "--seconds" (TimeSpan.FromSeconds 30.0) watchOf
            and! job = optional "--job" "" jobOf
            and! json = optional "--json" false switchOf

            and! () =
                // A diagnosis says what is missing in its own way, and checks the rest.
                let missing = if given.IsSet "--doctor" then [] else absent

                match missing @ Contradictions.ofOptions given enrolKey with
                | [] -> Ok()
                | errors -> Error errors

            let struct (intervalSeconds, windowSeconds, paceWarnings) = pace given interval window
            let serves = listen.IsSome || receiver.IsSome

            let target =
                match host, slug, token with
                | ValueSome _, _, _ when enrolKey.IsSome -> ValueNone
                | ValueSome host, ValueSome slug, ValueSome token ->
                    ValueSome
                        {
                            Endpoint = endpointOf host slug
                            Host = baseOf host
                            Slug = slug
                            Token = token
                        }
                | _ -> ValueNone

            // systemd may name several directories, in the order of the unit.
            let state =
                if spool <> "" then
                    spool
                else
                    (system "STATE_DIRECTORY").Split(':')[0]

            return
                {
                    Target = target
                    Enrolment =
                        match host, enrolKey with
                        | ValueSome host, ValueSome key ->
                            ValueSome
                                {
                                    Endpoint = Uri($"{baseOf host}/api/enrol/")
                                    Host = baseOf host
                                    Slug = ValueOption.defaultValue "" slug
                                    Key = TokenOrigin.File(enrolKeyFile, key.Origin)
                                    Directory = state
                                }
                        | _ -> ValueNone
                    BaseUrl = host
                    Missing = absent |> List.map string |> Array.ofList
                    Hostname = hostname
                    Interval = TimeSpan.FromSeconds intervalSeconds
                    CpuWindow = TimeSpan.FromSeconds windowSeconds
                    Timeout = timeout
                    Once = once
                    Disks = Devices.normalizeDisks disks
                    DiskFilters = disks
                    Interfaces = Array.distinct interfaces
                    Labels = labels
                    Quiet = quiet
                    LogLevel =
                        level
                        |> ValueOption.defaultValue (if quiet then LogLevel.Warning else LogLevel.Info)
                    GpuReader = gpuReader
                    NvmlLibrary = nvmlLibrary
                    JobDetail = jobDetail
                    GpuJobDirectory = gpuJobDirectory
                    Collectors = collectors
                    TextfileDirectory = textfileDirectory
                    Insecure = insecure
                    CaFile = caFile
                    ClientCertificate = clientCertificate
                    ClientKey = clientKey
                    Spool = state
                    SpoolLimit = spoolLimit
                    RemoteWrite = receiverTarget given "--remote-write" receiver headerFile
                    Otlp = receiverTarget given "--otlp" otlp otlpHeaderFile
                    Listen = listen
                    ListenToken = listenToken
                    Doctor = doctor
                    Health = health
                    Why = if why then ValueSome watchFor else ValueNone
                    WhyJob = job
                    Json = json
                    DryRun = dryRun
                    ProcFs = procFs
                    SysFs = sysFs
                    RootFs = rootFs
                    Warnings = twoTokens given @ paceWarnings @ unused given enrolKey serves |> Array.ofList
                }
        }

    /// The most labels that enrolment gives a machine.
    [<Literal>]
    let MostEnrolledLabels = 64

    /// The settings of a machine that has enrolled: with this slug, a token from there, and labels beside the user's own, which take precedence.
    /// Labels that a user could not give are left out.
    [<CompiledName "EnrolledAs">]
    let enrolledAs (slug: string) (token: TokenOrigin) (labels: (struct (string * string))[]) (settings: Settings) : Settings =
        match settings.Enrolment, settings.BaseUrl with
        | ValueSome enrolment, ValueSome host ->
            let isOwn (name: string) =
                settings.Labels |> Array.exists (fun struct (own, _) -> own = name)

            { settings with
                Enrolment = ValueNone
                Labels =
                    labels
                    |> Array.truncate MostEnrolledLabels
                    |> Array.choose (fun struct (name, value) ->
                        let text = $"{name}={value}"

                        labelOf { Origin = "the receiver"; Text = text } text |> Result.toOption)
                    |> Array.filter (fun struct (name, _) -> not (isOwn name))
                    |> Array.append settings.Labels
                Target =
                    ValueSome
                        {
                            Endpoint = endpointOf host slug
                            Host = enrolment.Host
                            Slug = slug
                            Token = token
                        }
            }
        | _ -> settings
