"""FAISS on the kind of fingerprints that search_bench uses: queries a second of processor time, one thread, 10^6 random
fingerprints, queries at 24 flipped bits or less, radius 31. `found per query` is the recall: there is one to be found.

    pip install faiss-cpu==1.15.1 numpy==2.4.6; python peers.py; search_bench
"""
import time, numpy as np, faiss
faiss.omp_set_num_threads(1)
n=10**6; r=np.random.default_rng(1)
base=r.integers(0,256,(n,32),dtype=np.uint8)
q=base[r.integers(0,n,2000)].copy()
for i in range(len(q)):
    for b in r.integers(0,256,24): q[i,b//8]^=np.uint8(1<<(b%8))
def run(name,ix,m):
    t=time.process_time(); lims,D,I=ix.range_search(q[:m].copy(),32); dt=time.process_time()-t
    print(name,"%.0f q/s"%(m/dt),"found per query %.3f"%(lims[-1]/m),"pairs/s %.2e"%(m*n/dt),flush=True)
flat=faiss.IndexBinaryFlat(256); flat.add(base); run("flat",flat,100)
for nh,b,fl in ((4,16,0),(4,16,1)):
    ix=faiss.IndexBinaryMultiHash(256,nh,b); ix.nflip=fl; ix.add(base); run("multihash %d x %d bits, %d flips"%(nh,b,fl),ix,2000)
