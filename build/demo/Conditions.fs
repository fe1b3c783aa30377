/// What holds each machine of the scripted fleet back, as its agent would say it: twenty machines, of which each is in a state of its own.
module Demo.Conditions

/// A figure that decides, and its limit where it has one.
type Witness =
    {
        Name: string
        Value: float
        Limit: float voption
        Unit: string
    }

/// What is said of a machine and of its job.
type Condition =
    {
        Label: string
        Reason: string
        Fix: string
        Evidence: Witness list
        RuledOut: Witness list
        /// Who runs what; none where nobody uses the GPUs.
        Job: (string * string) voption
        /// Utilisation of a GPU in per cent by its index, in place of what the phase gives.
        Busy: (int -> float) voption
        /// Power, as a share of the limit.
        Power: float voption
        /// What slows the GPU of that index.
        Throttle: int -> string list
        /// The first GPU that is not reported any more.
        Lost: int voption
    }

let private of' name value limit unit' =
    {
        Name = name
        Value = value
        Limit = ValueSome limit
        Unit = unit'
    }

let private only name value unit' =
    {
        Name = name
        Value = value
        Limit = ValueNone
        Unit = unit'
    }

let private condition label job reason fix evidence ruledOut =
    {
        Label = label
        Reason = reason
        Fix = fix
        Evidence = evidence
        RuledOut = ruledOut
        Job = job
        Busy = ValueNone
        Power = ValueNone
        Throttle = fun _ -> []
        Lost = ValueNone
    }

let private someone user name = ValueSome(user, name)

/// In the order of the machines' numbers.
let all: Condition[] =
    [|
        condition
            "compute"
            (someone "ada" "python train_gpt.py")
            "Its GPUs are at 97 % and draw 95 % of their power limit."
            ""
            [ of' "GPU utilisation" 97.0 80.0 "%"; of' "GPU power" 95.0 50.0 "%" ]
            [ only "time waiting for disks" 0.6 "%" ]
        condition
            "disk-read"
            (someone "bruno" "python pretrain.py")
            "Its loaders wait for reads 93 % of the time; nvme0n1 is busy with 14 requests queued, and the GPUs are at 31 %."
            "Put the data set on a faster disk, or cache it in memory; fewer, larger files help as well."
            [
                of' "loaders blocked on reads" 93.0 50.0 "%"
                of' "queue of nvme0n1" 14.0 2.0 ""
                only "read" 1.9e9 "B/s"
            ]
            [ only "busiest loader thread" 24.0 "%"; only "wait for a CPU" 1.0 "%" ]
        condition
            "memory"
            (someone "chen" "torchrun finetune.py")
            "Its tasks stalled for memory 14 % of the time, and it swaps in 160 MB/s."
            "Give the job more memory (--mem in Slurm), or lower num_workers and prefetch_factor."
            [
                of' "memory stall" 14.0 5.0 "%"
                of' "memory in use" 97.5 95.0 "%"
                only "swap in use" 24.0 "%"
            ]
            [ only "disk queue" 0.4 "" ]
        condition
            "network-storage"
            (someone "dora" "python train_vit.py")
            "Its reads from /data (NFS) take 41 ms each, and 38 of them wait in the client."
            "Mount with nconnect=8, or copy the data set to the local disk first."
            [
                of' "time of a read on /data" 41.0 10.0 "ms"
                of' "backlog on /data" 38.0 4.0 ""
            ]
            [ only "local disks busy" 8.0 "%" ]
        condition
            "loader-cpu"
            (someone "emil" "python train_clip.py")
            "Its 4 data loader workers are at 99 % of a core each, and the GPUs wait 62 % of the time."
            "Set num_workers=16: 12 cores are free."
            [
                of' "busiest loader thread" 99.0 90.0 "%"
                of' "GPU utilisation" 38.0 80.0 "%"
            ]
            [ only "disk busy" 16.0 "%"; only "wait for a CPU" 2.0 "%" ]
        condition
            "main-thread"
            (someone "fatima" "python -m lightning fit")
            "One thread of the trainer is at 98 % of a core, and the GPUs are at 36 %."
            "Look what it does: py-spy top --pid 48213. Larger batches, CUDA graphs and torch.compile take work off it."
            [ of' "busiest thread" 98.0 90.0 "%"; of' "GPU utilisation" 36.0 80.0 "%" ]
            [ only "loaders" 12.0 "%"; only "time waiting for disks" 1.0 "%" ]
        condition
            "cpu-contended"
            (someone "goran" "accelerate launch run.py")
            "Its threads wait 34 % of the time for a CPU that others use."
            "Pin the job to cores of its own (taskset, --cpus-per-task), or move the others."
            [ of' "wait for a CPU" 34.0 15.0 "%"; of' "CPUs busy" 96.0 90.0 "%" ]
            [ only "disk queue" 0.9 "" ]
        { condition
              "throttled"
              (someone "hana" "python train_diffusion.py")
              "GPU 2 runs at 900 of 1,410 MHz at 88 °C: it is slowed down by heat."
              "Check the fans and filters of the chassis, and the room's temperature."
              [
                  of' "temperature of GPU 2" 88.0 87.0 "°C"
                  of' "SM clock of its maximum" 64.0 85.0 "%"
              ]
              [ only "power cap" 0.0 "%" ] with
            Throttle =
                fun index ->
                    if index = 2 then
                        [ "hw_thermal_slowdown"; "sw_thermal_slowdown" ]
                    else
                        []
        }
        condition
            "disk-write"
            (someone "ivan" "python train_llm.py")
            "It is blocked on writes 41 % of the time while it saves checkpoints of 23 GB."
            "Save less often, or asynchronously (torch.distributed.checkpoint.async_save)."
            [
                of' "main thread blocked on writes" 41.0 20.0 "%"
                only "written" 4.0e8 "B/s"
            ]
            [ only "busiest loader thread" 30.0 "%" ]
        condition
            "held-idle"
            (someone "jana" "jupyter-lab")
            "It holds 74 GiB of GPU memory, and nothing has run on the GPUs for 5 h: 40 GPU-hours so far."
            "Ask jana to end it, or end it: kill 90233."
            [ of' "GPU utilisation" 0.0 1.0 "%"; only "idle for" 18000.0 "s" ]
            [ only "CPU" 0.1 "%" ]
        condition
            "network"
            (someone "karl" "python stream_train.py")
            "Its GPUs wait for data over the network: 310 MB/s come in and nothing on this machine is busy."
            "Fetch ahead with more connections, or cache the shards on the local disk."
            [ of' "GPUs waiting" 22.0 20.0 "%"; only "received" 3.1e8 "B/s" ]
            [ only "disk busy" 48.0 "%"; only "busiest loader thread" 21.0 "%" ]
        condition "compute" ValueNone "It has no GPU; its CPUs are at 46 %." "" [ only "CPUs busy" 46.0 "%" ] []
        { condition
              "communication"
              (someone "lena" "torchrun train_moe.py")
              "Its GPUs show 99 % but draw 31 % of their power: they wait for other GPUs, with 38 GB/s on NVLink."
              "Overlap communication with computation (bucket_cap_mb), or use larger batches for each GPU."
              [
                  of' "GPU utilisation" 99.0 90.0 "%"
                  of' "GPU power" 31.0 50.0 "%"
                  only "NVLink" 3.8e10 "B/s"
              ]
              [ only "throttling" 0.0 "%" ] with
            Busy = ValueSome(fun _ -> 99.0)
            Power = ValueSome 0.31
        }
        condition
            "cpu-quota"
            (someone "mika" "python train_asr.py")
            "Its container may use 4 cores, uses all of them and is throttled in 71 % of the periods."
            "Raise the limit (docker update --cpus 16, resources.limits.cpu), or lower num_workers."
            [
                of' "periods throttled" 71.0 10.0 "%"
                of' "cores used of those allowed" 99.0 90.0 "%"
            ]
            [ only "machine's CPUs busy" 41.0 "%" ]
        { condition
              "imbalance"
              (someone "nora" "torchrun pretrain_bert.py")
              "GPU 1 is at 99 % while GPU 0 is at 46 %: its rank is behind, and the other one waits for it."
              "Look at rank 1: does it get longer sequences, or share its GPU?"
              [ of' "spread over its GPUs" 53.0 25.0 "%" ]
              [ only "GPU 1's clock of its maximum" 99.0 "%" ] with
            Busy = ValueSome(fun index -> if index = 1 then 99.0 else 46.0)
        }
        { condition
              "hang"
              (someone "omar" "torchrun train_dlrm.py")
              "Nothing has happened for 11 min: no CPU time, no bytes, GPUs at 100 % with the power of idling."
              "Look where it stands: py-spy dump --pid 71002. A collective that one rank never joined looks like this."
              [ of' "standing still for" 660.0 120.0 "s"; of' "GPU power" 14.0 25.0 "%" ]
              [ only "CPU of the job" 0.0 "%" ] with
            Busy = ValueSome(fun _ -> 100.0)
            Power = ValueSome 0.14
        }
        { condition
              "gpu-fault"
              ValueNone
              "The NVIDIA driver went away: none of its 4 GPUs is reported any more."
              "Load it again (modprobe nvidia); dmesg says why it went."
              [ only "GPUs missing" 4.0 "" ]
              [] with
            Lost = ValueSome 0
        }
        { condition
              "gpu-fault"
              (someone "petra" "python train_world.py")
              "GPU 1 is lost: XID 79, it has fallen off the bus."
              "Drain the machine and restart it; if it happens again, have the board checked."
              [ only "GPUs missing" 1.0 ""; only "XID" 79.0 "" ]
              [] with
            Lost = ValueSome 1
        }
        condition
            "unknown"
            (someone "quentin" "./sim_engine")
            "Its GPUs are at 36 %, and nothing that is measured explains the waiting: no thread, disk, link or limit is near its end."
            "Record a timeline with nsys profile and look between the kernels."
            [ only "GPU utilisation" 36.0 "%" ]
            [
                only "busiest thread" 41.0 "%"
                only "time waiting for disks" 1.0 "%"
                only "wait for a CPU" 2.0 "%"
            ]
        condition "idle" ValueNone "Nobody uses its GPUs, and its CPUs are at 2 %." "" [ only "CPUs busy" 2.0 "%" ] []
    |]

/// That of the machine of this number, from 0.
let ofMachine (number: int) : Condition = all[number % all.Length]
