/// Laws of Slurm jobs that are known by the daemons above them.
module Agent.PropertyTests.Jobs.SlurmStepLaws

open Agent.Core.Jobs
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private belongings: Gen<Belonging> =
    let session = Belonging.ofCgroups [||] 5

    Gen.elements
        [
            session
            session
            session
            Belonging.withSlurmJob "7" "bert" session
            Belonging.withSlurmJob "8" "gpt" session
            { session with
                Owner =
                    { session.Owner with
                        Kind = OwnerKind.Container
                        Value = "c"
                    }
                Component = "c"
                IsOneJob = true
            }
        ]

/// Any processes, some of them daemons of steps, some that only look like one.
let private processes: Gen<TreeProcess[]> =
    upTo
        14
        (gen {
            let! pid = Gen.choose (1, 14)
            let! parent = Gen.choose (0, 14)
            let! start = Gen.choose (0, 5)
            let! uid = Gen.elements [ 0; 1000; 1001 ]
            let! name = Gen.elements [ "python"; "slurmstepd"; "slurmstepd"; "slurm_script" ]
            let! title = Gen.elements [ "slurmstepd: [7.batch]"; "slurmstepd: [9.0]"; "slurmstepd: [x]"; "python" ]
            let! belonging = belongings

            return
                {
                    Pid = pid
                    Parent = parent
                    Group = 1
                    Session = 1
                    StartedAt = LanguagePrimitives.UInt64WithMeasure(uint64 start)
                    Uid = uid
                    Name = name
                    Arguments = [| title |]
                    Belonging = belonging
                }
        })
    |> Gen.map (Array.distinctBy _.Pid)

let private isSlurm (one: TreeProcess) =
    match one.Belonging.Owner.Kind with
    | OwnerKind.Slurm -> true
    | _ -> false

let private shape (processes: TreeProcess[]) =
    processes
    |> Array.map (fun one -> one.Pid, one.Belonging.Owner)
    |> Array.sortBy fst

[<Tests>]
let tests =
    testList
        "Jobs.SlurmSteps"
        [
            law "a title that has a job's number gives that number, and any text gives digits or nothing" (upTo 3 anyText) (fun arguments ->
                SlurmSteps.jobOf arguments |> Seq.forall System.Char.IsAsciiDigit)

            law "every title of a step gives its job" (Gen.choose (1, 67_108_863)) (fun job ->
                [ "batch"; "extern"; "interactive"; "0"; "17+2" ]
                |> List.forall (fun step -> SlurmSteps.jobOf [| $"slurmstepd: [{job}.{step}]" |] = string job))

            law "only owners change, and all processes stay" processes (fun processes ->
                let assigned = SlurmSteps.assign processes

                same
                    (assigned |> Array.map (fun one -> one.Pid, one.Parent, one.Uid, one.Name))
                    (processes |> Array.map (fun one -> one.Pid, one.Parent, one.Uid, one.Name)))

            law "twice is the same as once" processes (fun processes ->
                let once = SlurmSteps.assign processes
                same (shape (SlurmSteps.assign once)) (shape once))

            law "the order of processes changes nothing" processes (fun processes ->
                same (shape (SlurmSteps.assign (Array.rev processes))) (shape (SlurmSteps.assign processes)))

            law "a job comes from root's daemon or from a process of the same user, never from another user" processes (fun processes ->
                SlurmSteps.assign processes
                |> Array.filter isSlurm
                |> Array.forall (fun one ->
                    processes
                    |> Array.exists (fun other ->
                        (other.Uid = one.Uid
                         && isSlurm other
                         && other.Belonging.Owner.Value = one.Belonging.Owner.Value)
                        || (other.Uid = 0
                            && other.Name = "slurmstepd"
                            && SlurmSteps.jobOf other.Arguments = one.Belonging.Owner.Value))))

            law "processes of one user in one job have one owner, its name included" processes (fun processes ->
                SlurmSteps.assign processes
                |> Array.filter isSlurm
                |> Array.groupBy (fun one -> one.Uid, one.Belonging.Owner.Value)
                |> Array.forall (fun (_, members) -> members |> Array.distinctBy _.Belonging.Owner |> Array.length = 1))

            law "what is in a container, and what no Slurm job is above, stays as it is" processes (fun processes ->
                let none =
                    processes
                    |> Array.filter (fun one -> not (isSlurm one) && one.Name <> "slurmstepd")

                same (shape (SlurmSteps.assign none)) (shape none))
        ]
